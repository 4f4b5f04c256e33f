"""Agents of the library as people see them: filed, liked, set up, and with how their runs have gone.

How runs have gone is true at the moment of reading. Of runs that are over, the database keeps the sum in the agent's
own row, written in the commit in which a run ends; those that go on are read from an index that holds nothing else. So
a page costs the same however many runs there are. See docs/decisions/library.md.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec

from treadle.base.ids import FolderId, GraphId, LibraryAgentId, UserId, WorkspaceId
from treadle.base.paging import COUNTED, Page, Total, total_of

OPEN_COUNTED = 1_000
"""Runs of an agent that go on are counted up to here."""


class AgentStatus(StrEnum):
    """How an agent is doing: what goes on, the most urgent first, else how its latest run ended."""

    REVIEW = "REVIEW"
    """A run waits for a person."""
    RUNNING = "RUNNING"
    QUEUED = "QUEUED"
    WAITING = "WAITING"
    """For a time or an event."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"
    NEVER_RUN = "NEVER_RUN"


class EntrySort(StrEnum):
    """In which order agents are listed: the latest first, or by name."""

    UPDATED = "updated_at"
    CREATED = "created_at"
    NAME = "name"
    LAST_RUN = "last_run"


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which agents are wanted, and which part of them."""

    page: Page = field(default_factory=Page)
    search: str = ""
    """Words in the name or the description, in any order."""
    sort: EntrySort = EntrySort.UPDATED
    statuses: tuple[AgentStatus, ...] = ()
    folder: FolderId | Literal["root"] | None = None
    """In that folder itself; ``root``: in none."""
    archived: bool = False
    favorites: bool = False
    parts: bool = False
    """Also those that came with others, as their sub-agents."""


class LastRun(msgspec.Struct, frozen=True):
    """The run of an agent that was started last."""

    id: UUID
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    """The beginning of it."""


class RunCounts(msgspec.Struct, frozen=True):
    """How many runs of an agent stand how."""

    running: int
    queued: int
    waiting: int
    in_review: int
    completed: int
    """Of the last ten that are over, as are the following."""
    failed: int
    terminated: int


class Settings(msgspec.Struct, frozen=True):
    """How an agent is run; None: as is usual."""

    safe_mode: bool | None = None
    ask_before_sensitive: bool | None = None
    timezone: str | None = None


class Entry(msgspec.Struct):
    """An agent of the library."""

    id: UUID
    graph_id: str
    graph_version: int
    """The version that runs when none is named."""
    newest_version: int
    active_version: int
    auto_update: bool
    """Whether that is always the active one."""
    is_latest_version: bool
    """Whether that is the newest one."""
    name: str
    description: str
    folder_id: UUID | None
    is_archived: bool
    is_part: bool
    is_favorite: bool
    settings: Settings
    created_at: datetime
    updated_at: datetime
    status: str
    last_run: LastRun | None
    runs: RunCounts
    needs_credentials: bool = False
    """Whether credentials are missing without which no run can start."""


class Found(msgspec.Struct):
    """An agent, and the credentials without which no run of it can start as JSON; None when that must be found out."""

    entry: Entry
    needs: str | None
    mark: "Mark"
    line: bytes = b""
    """The entry as JSON, once it was encoded."""


class Mark(msgspec.Struct, frozen=True):
    """An agent in a list: as long as its mark is the same and no run goes on, so is all that the list tells of it."""

    id: UUID
    written: str
    """The transaction that wrote the agent's row."""
    is_favorite: bool
    goes_on: bool
    """Whether a run does."""


Fetch = Callable[..., Awaitable[Sequence[Sequence[Any]]]]
"""Runs a query with its values inside of the workspace."""

_COLUMNS = (
    "id, graph_id, version, newest_version, active_version, pinned_version IS NULL, version = newest_version, name,"
    " description, folder_id, is_archived, is_part, agent_id IS NOT NULL, settings::text, created_at, updated_at,"
    " {status}, recent, open_running, open_queued, open_waiting, open_in_review, open_id, open_status,"
    " open_started_at,"
    " run_id, run_status, run_started_at, run_ended_at, run_error,"
    " CASE WHEN needs_of = {basis} THEN needs::text END, written"
)
_STATUS = (
    "CASE WHEN open_in_review > 0 THEN 'REVIEW' WHEN open_running > 0 THEN 'RUNNING' WHEN open_queued > 0 THEN 'QUEUED'"
    " WHEN open_waiting > 0 THEN 'WAITING' ELSE coalesce(run_status, 'NEVER_RUN') END"
)
_GOES_ON = (
    "EXISTS (SELECT FROM executions e WHERE e.workspace_id = $1 AND e.graph_id = a.graph_id AND e.parent_id IS NULL"
    " AND e.status IN ('QUEUED', 'RUNNING', 'WAITING', 'REVIEW'))"
)
_OPEN = (
    " LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE x.status = 'RUNNING') AS open_running,"
    " count(*) FILTER (WHERE x.status = 'QUEUED') AS open_queued,"
    " count(*) FILTER (WHERE x.status = 'WAITING') AS open_waiting,"
    " count(*) FILTER (WHERE x.status = 'REVIEW') AS open_in_review, (array_agg(x.id))[1] AS open_id,"
    " (array_agg(x.status::text))[1] AS open_status, (array_agg(x.started_at))[1] AS open_started_at"
    " FROM (SELECT e.id, e.status, e.started_at FROM executions e"
    " WHERE e.workspace_id = $1 AND e.graph_id = a.graph_id AND e.parent_id IS NULL"
    " AND e.status IN ('QUEUED', 'RUNNING', 'WAITING', 'REVIEW')"
    f" ORDER BY e.id DESC LIMIT {OPEN_COUNTED}) x) o ON true"
)
_LIKED = "SELECT agent_id FROM library_favorites WHERE workspace_id = $1 AND user_id"
_ORDERS = {
    EntrySort.UPDATED: "updated_at DESC, id",
    EntrySort.CREATED: "created_at DESC, id",
    EntrySort.NAME: "lower(name), id",
    EntrySort.LAST_RUN: "greatest(open_id, run_id) DESC NULLS LAST, id",
}
_MISSED = "EXISTS (SELECT FROM library_runs_missed WHERE workspace_id = $1)"
_MEND = "SELECT library_runs_mend_v1($1)"


class Entries:
    """The library of one workspace as one person sees it. ``basis`` names the blocks that are installed."""

    def __init__(self, fetch: Fetch, workspace: WorkspaceId, user: UserId, basis: str) -> None:
        self._fetch = fetch
        self._workspace = workspace
        self._user = user
        self._basis = basis

    async def page(self, query: EntryQuery) -> tuple[list[Mark], Total]:
        """That part of the list, and how many there are in all."""
        deep = bool(query.statuses) or query.sort is EntrySort.LAST_RUN
        counted = _Sql(self._workspace)
        fitting = self._fitting(counted, query, deep=deep, liked=query.favorites)
        count = f"SELECT count(*), {_MISSED} FROM (SELECT FROM {fitting} LIMIT {COUNTED + 1}) AS counted"
        ((total, is_behind),) = await self._fetch(count, *counted.values)
        if is_behind:
            await self._fetch(_MEND, self._workspace)
            if deep:
                ((total, _),) = await self._fetch(count, *counted.values)
        sql = _Sql(self._workspace)
        order = _ORDERS[query.sort]
        part = f"SELECT *, a.xmin::text AS written FROM {self._fitting(sql, query, deep=deep)} ORDER BY {order}"
        part += f" LIMIT {sql.place(query.page.size)} OFFSET {sql.place(query.page.offset)}"
        marks = f"SELECT id, written, agent_id IS NOT NULL, {_GOES_ON} FROM ({part}) a ORDER BY {order}"
        return [Mark(*row) for row in await self._fetch(marks, *sql.values)], total_of(total)

    async def of(self, ids: Collection[UUID]) -> list[Found]:
        """Those of these agents that are there, in no order."""
        return await self._those("id = ANY ({})", list(ids))

    async def one(self, id: LibraryAgentId) -> Found | None:
        """That agent, if it is there; archived ones and parts of others too."""
        return await self._only("id", id)

    async def of_graph(self, graph: GraphId) -> Found | None:
        """The agent of that graph, if it is there."""
        return await self._only("graph_id", graph)

    async def _only(self, column: str, value: Any) -> Found | None:
        ((is_behind,),) = await self._fetch(f"SELECT {_MISSED}", self._workspace)
        if is_behind:
            await self._fetch(_MEND, self._workspace)
        found = await self._those(f"{column} = {{}}", value)
        return found[0] if found else None

    def _fitting(self, sql: "_Sql", query: EntryQuery, *, deep: bool, liked: bool = True) -> str:
        """The agents that are wanted; with their open runs, when those matter for that."""
        conditions = [f"is_archived = {query.archived}".lower()]
        if not query.parts:
            conditions.append("NOT is_part")
        if query.folder is not None:
            conditions.append(
                "folder_id IS NULL" if query.folder == "root" else f"folder_id = {sql.place(query.folder)}"
            )
        if query.favorites:
            conditions.append("f.agent_id IS NOT NULL")
        for word in query.search.split():
            place = sql.place(_pattern(word))
            conditions.append(f"(name ILIKE {place} OR description ILIKE {place})")
        if query.statuses:
            conditions.append(f"{_STATUS} = ANY ({sql.place([str(each) for each in query.statuses])}::text[])")
        return self._present(sql, deep=deep, liked=liked) + "".join(f" AND {each}" for each in conditions)

    def _present(self, sql: "_Sql", *, deep: bool = False, liked: bool = True) -> str:
        joined = f" LEFT JOIN ({_LIKED} = {sql.place(self._user)}) f ON f.agent_id = a.id" if liked else ""
        return (
            f"library_agents a{joined}{_OPEN if deep else ''}"
            " WHERE a.workspace_id = $1 AND removed_at IS NULL AND graph_deleted_at IS NULL"
        )

    async def _those(self, condition: str, value: Any) -> list[Found]:
        """The agents with one value in common, whose place in the condition is ``{}``."""
        sql = _Sql(self._workspace)
        part = f"SELECT *, a.xmin::text AS written FROM {self._present(sql)} AND a.{condition.format(sql.place(value))}"
        columns = _COLUMNS.format(status=_STATUS, basis=f"version || ':' || {sql.place(self._basis)}")
        return [_found(row) for row in await self._fetch(f"SELECT {columns} FROM ({part}) a{_OPEN}", *sql.values)]


class _Sql:
    """The values of a query, as it is put together; the first is the workspace."""

    def __init__(self, workspace: WorkspaceId) -> None:
        self.values: list[Any] = [workspace]

    def place(self, value: Any) -> str:
        """What stands for the value."""
        self.values.append(value)
        return f"${len(self.values)}"


def _pattern(word: str) -> str:
    return "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


_settings = msgspec.json.Decoder(Settings)


def _found(row: Sequence[Any]) -> Found:
    facts, settings, recent = row[:13], _settings.decode(row[13]), row[17]
    runs = RunCounts(*[*row[18:22], recent.count("C"), recent.count("F"), recent.count("T")])
    entry = Entry(*[*facts, settings, *row[14:17], _last_run(*row[22:30]), runs])
    return Found(entry, row[30], Mark(entry.id, row[31], entry.is_favorite, any(row[18:22])))


def _last_run(
    open_id: UUID | None,
    open_status: str | None,
    open_started: datetime | None,
    id: UUID | None,
    status: str | None,
    started: datetime | None,
    ended: datetime | None,
    error: str | None,
) -> LastRun | None:
    """Ids grow with time: the run with the highest was started last."""
    if open_id is not None and open_status is not None and (id is None or open_id > id):
        return LastRun(open_id, open_status, open_started, None, None)
    if id is None or status is None:
        return None
    return LastRun(id, status, started, ended, error)
