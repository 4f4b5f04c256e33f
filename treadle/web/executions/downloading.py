"""What goes into the file of a run."""

from collections.abc import AsyncIterator
from typing import Any

from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.store import ExecutionRow
from treadle.engine.view import FiringView
from treadle.features.executions.download import Download, Forms
from treadle.features.graphs.exporter import without_secrets
from treadle.kernel.records import Record
from treadle.web.executions.answers import event_body, firing_body, run_head
from treadle.web.executions.bodies import RunInFile
from treadle.web.site import Site


async def run_file(site: Site, workspace: WorkspaceId, id: ExecutionId) -> AsyncIterator[bytes]:
    """The file of a run and its sub-agents, piece by piece. Raises ``NotFound``."""
    rows = await site.executions.family(workspace, id)

    async def run(row: ExecutionRow) -> dict[str, Any]:
        return RunInFile(**await run_head(site.executions, row)).model_dump(mode="json")

    def firing(view: FiringView) -> dict[str, Any]:
        return firing_body(view).model_dump(mode="json")

    def event(number: int, record: Record) -> dict[str, Any]:
        return event_body(number, record).model_dump(mode="json")

    agent = await _agent(site, workspace, rows[0])
    return Download(site.executions, Forms(run, firing, event)).write(workspace, rows, agent)


async def _agent(site: Site, workspace: WorkspaceId, row: ExecutionRow) -> Any:
    """The agent's file in the version that ran, without secrets; None when it is not here any more."""
    try:
        agent = await site.graphs.agent(workspace, GraphId(row.graph_id), row.graph_version)
    except NotFound:
        return None
    return without_secrets(agent, site.registry).model_dump(mode="json")
