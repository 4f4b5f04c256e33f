"""Failed runs, run again from where they failed: many at once, each once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from treadle.base.errors import TreadleError
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.rerun import failed_firings
from treadle.features.executions.service import Again, Executions
from treadle.features.executions.starting import OWN_KEYS
from treadle.kernel.states import Status

MOST = 100
"""Runs that are retried by one request."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of one run that was to be retried."""

    id: ExecutionId
    started: ExecutionId | None
    """The new run."""
    kept: int = 0
    """Firings that it took over from the old one."""
    reason: str = ""
    """Why none was started: ``not_found``, ``not_failed``, or the code of what went wrong."""
    message: str = ""


class Retries:
    """Retries of one install."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def failed_since(self, workspace: WorkspaceId, graph: GraphId, since: datetime | None) -> list[ExecutionId]:
        """The agent's failed runs that were created since then, oldest first, ``MOST`` of them."""
        return await self._executions.failed_since(workspace, graph, since, MOST)

    async def retry(self, workspace: WorkspaceId, ids: Sequence[ExecutionId], key: str | None) -> list[Retried]:
        """Retry each of these runs, in a new run that keeps what had succeeded.

        With the same ``key``, and without one at all, a run is retried once: what was started for it then is told.
        """
        return [await self._retry(workspace, id, key) for id in dict.fromkeys(ids)]

    async def _retry(self, workspace: WorkspaceId, id: ExecutionId, key: str | None) -> Retried:
        try:
            row = await self._executions.get(workspace, id)
            if row.status is not Status.FAILED or row.parent_id is not None:
                return Retried(
                    id, None, reason="not_failed", message=f"It is {row.status}: only failed runs are retried."
                )
            firings = failed_firings(await self._executions.plan(row), await self._executions.records(row))
            started, prepared = await self._executions.rerun(
                workspace,
                id,
                Again(firings=tuple(firings)),
                key=f"{OWN_KEYS}retry:{key or ''}:{id}",
                now_ms=time.time_ns() // 1_000_000,
            )
        except TreadleError as error:
            return Retried(id, None, reason=error.code, message=f"{error.message} {error.fix}".strip())
        return Retried(id, started, kept=prepared.kept)
