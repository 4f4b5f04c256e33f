"""From the library to what goes over HTTP."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from treadle.base.ids import GraphId, WorkspaceId
from treadle.base.paging import Page, Total
from treadle.engine.secrets import MASK, masked
from treadle.features.graphs.document import AgentFile
from treadle.features.library.entries import Entry
from treadle.features.library.importing import Imported, ImportedGraph
from treadle.web.bodies import counted_pagination
from treadle.web.builder.graph_answers import Surroundings, graph_forms
from treadle.web.library.bodies import (
    DisabledBlock,
    FolderBody,
    FolderNode,
    ImportedGraphBody,
    ImportReportBody,
    LibraryAgentDetail,
    MissingAgent,
    MissingBlock,
    Origin,
    PresetBody,
    SubAgent,
)
from treadle.web.site import Site

if TYPE_CHECKING:
    from treadle.features.library.folder_repository import CountedFolder
    from treadle.features.library.models import Preset


def agent_list(lines: list[bytes], page: Page, total: Total) -> bytes:
    """A page of agents, as the JSON of a ``LibraryAgentList``; ``lines`` are the JSON of each ``Entry``."""
    return msgspec.json.encode(
        {"agents": [msgspec.Raw(line) for line in lines], "pagination": counted_pagination(page, total).model_dump()}
    )


async def agent_detail(site: Site, workspace: WorkspaceId, entry: Entry) -> LibraryAgentDetail:
    """An agent, read as far as its sub-agents are there."""
    agent = await site.graphs.agent(workspace, GraphId(entry.graph_id), entry.graph_version, partial=True)
    around = Surroundings(site.registry, await site.credentials.offers(workspace))
    return await asyncio.to_thread(_detail, around, entry, agent)


def _detail(around: Surroundings, entry: Entry, agent: AgentFile) -> LibraryAgentDetail:
    origin = None
    if agent.forked_from_id is not None:
        origin = Origin(graph_id=agent.forked_from_id, graph_version=agent.forked_from_version)
    return LibraryAgentDetail(
        **msgspec.to_builtins(entry),
        **graph_forms(around, agent, around.problems(agent)),
        instructions=agent.instructions,
        recommended_schedule_cron=agent.recommended_schedule_cron,
        forked_from=origin,
        sub_agents=[
            SubAgent(graph_id=each.id, graph_version=each.version, name=each.name) for each in agent.sub_graphs
        ],
    )


def import_report(imported: Imported, detail: LibraryAgentDetail) -> ImportReportBody:
    """What has become of a file."""
    report = imported.report
    return ImportReportBody(
        agent=detail,
        outcome=imported.main.outcome,
        sub_agents=[_imported_graph(each) for each in imported.parts],
        notes=list(report.notes),
        missing_blocks=[MissingBlock(id=id, name=name) for id, name in report.missing_blocks.items()],
        disabled_blocks=[DisabledBlock(name=name, reason=why) for name, why in report.disabled_blocks.items()],
        missing_agents=[MissingAgent(graph_id=id, name=name) for id, name in report.missing_agents.items()],
        missing_credentials=[need for need in detail.credentials if not need.available],
    )


def _imported_graph(graph: ImportedGraph) -> ImportedGraphBody:
    return ImportedGraphBody(graph_id=graph.graph_id, name=graph.name, outcome=graph.outcome)


def folder_body(counted: "CountedFolder") -> FolderBody:
    """A folder in a list."""
    return FolderBody(**_folder(counted))


def folder_tree(folders: "Iterable[CountedFolder]") -> list[FolderNode]:
    """The folders as a tree, in the order in which they are given."""
    inside: dict[UUID | None, list[CountedFolder]] = defaultdict(list)
    for each in folders:
        inside[each.folder.parent_id].append(each)

    def nodes(parent: UUID | None) -> list[FolderNode]:
        return [FolderNode(**_folder(each), folders=nodes(each.folder.id)) for each in inside[parent]]

    return nodes(None)


def _folder(counted: "CountedFolder") -> dict[str, Any]:
    same = ("id", "name", "parent_id", "icon", "color", "created_at", "updated_at")
    return {**{name: getattr(counted.folder, name) for name in same}, "agents": counted.agents}


def preset_body(preset: "Preset") -> PresetBody:
    """A preset, without its secrets."""
    same = ("id", "graph_id", "graph_version", "name", "description", "credentials")
    return PresetBody(
        **{name: getattr(preset, name) for name in (*same, "created_by", "created_at", "updated_at")},
        inputs=masked({**preset.inputs, **dict.fromkeys(preset.secrets, MASK)}),
    )
