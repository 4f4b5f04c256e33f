"""What waits for a person: found, and decided on once."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from treadle.base.errors import BadInput, Conflict, NotFound
from treadle.base.ids import ExecutionId, NodeId, WorkspaceId
from treadle.base.paging import Page
from treadle.base.reading import WorkspaceReader
from treadle.engine.large import with_contents
from treadle.engine.ports import Blobs
from treadle.engine.store import Store
from treadle.kernel.records import unmarked

_COLUMNS = (
    "r.execution_id, r.root_id, r.firing, r.node_id, r.payload::text, r.status, r.decision::text, r.created_at,"
    " r.decided_at, e.status::text AS run_status, e.graph_id, e.graph_version"
)
_REVIEWS = f"SELECT {_COLUMNS} FROM reviews r JOIN executions e ON e.id = r.root_id"
_OPEN = (
    "r.workspace_id = $1 AND e.workspace_id = $1 AND r.status = 'WAITING'"
    " AND e.status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')"
)


@dataclass(frozen=True, slots=True)
class Review:
    """A firing whose data a person approves, changes or rejects. Large values in it are references."""

    execution_id: ExecutionId
    """The run or sub-agent in which it waits; the decision is addressed to it."""
    root_id: ExecutionId
    firing: int
    node_id: NodeId
    graph_id: str
    """Of the run, not of the sub-agent."""
    graph_version: int
    payload: dict[str, Any]
    """``data``, ``message``, ``editable``."""
    status: str
    """``WAITING``, ``APPROVED`` or ``REJECTED``; or ``EXPIRED`` when the run ended before anybody decided."""
    decision: dict[str, Any] | None
    created_at: datetime
    decided_at: datetime | None

    @property
    def editable(self) -> bool:
        """Whether the data may be changed."""
        return self.payload.get("editable") is not False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides."""

    execution_id: ExecutionId
    firing: int
    approved: bool
    data: Any = None
    """The data as changed by the person; None leaves it as it is."""
    message: str = ""
    always: bool = False
    """Approve this node for the rest of the run."""

    def payload(self) -> dict[str, Any]:
        """What the run is told."""
        told: dict[str, Any] = {"approved": self.approved, "message": self.message, "always": self.always}
        return told if self.data is None else {**told, "data": self.data}


class Reviews:
    """The reviews of one install."""

    def __init__(self, reader: WorkspaceReader, store: Store, blobs: Blobs) -> None:
        self._reader = reader
        self._store = store
        self._blobs = blobs

    async def waiting(self, workspace: WorkspaceId, page: Page) -> tuple[list[Review], int]:
        """A page of what waits in all runs, oldest first, and how much waits in all."""
        query = f"{_REVIEWS} WHERE {_OPEN} ORDER BY r.created_at, r.execution_id, r.firing LIMIT $2 OFFSET $3"
        rows = await self._reader.fetch(workspace, query, workspace, page.size, page.offset)
        count = f"SELECT count(*) FROM reviews r JOIN executions e ON e.id = r.root_id WHERE {_OPEN}"
        return [_review(row) for row in rows], await self._reader.fetchval(workspace, count, workspace)

    async def of_run(
        self, workspace: WorkspaceId, root: ExecutionId, *, only_waiting: bool = False, limit: int = 200
    ) -> list[Review]:
        """Those of a run and its sub-agents, oldest first, with large values."""
        waiting = f" AND {_OPEN}" if only_waiting else ""
        query = (
            f"{_REVIEWS} WHERE r.workspace_id = $1 AND r.root_id = $2{waiting} ORDER BY r.created_at, r.firing LIMIT $3"
        )
        reviews = [_review(row) for row in await self._reader.fetch(workspace, query, workspace, root, limit)]
        payloads = await with_contents([each.payload for each in reviews], workspace, self._blobs)
        return [replace(each, payload=payload) for each, payload in zip(reviews, payloads, strict=True)]

    async def get(self, workspace: WorkspaceId, id: ExecutionId, firing: int) -> Review:
        """One review. Raises ``NotFound``."""
        query = f"{_REVIEWS} WHERE r.workspace_id = $1 AND r.execution_id = $2 AND r.firing = $3"
        row = await self._reader.fetchrow(workspace, query, workspace, id, firing)
        if row is None:
            raise NotFound(f"Firing {firing} of the execution {id} asks nobody.", fix="List the reviews of the run.")
        return _review(row)

    async def decide(self, workspace: WorkspaceId, decision: Decision) -> None:
        """Decide; the first decision counts, and the same one again changes nothing.

        Raises:
            NotFound: no such review.
            BadInput: the data may not be changed.
            Conflict: it was decided otherwise, or the run is over.
        """
        id, firing = decision.execution_id, decision.firing
        review = await self.get(workspace, id, firing)
        if decision.data is not None and not review.editable:
            raise BadInput("This data may only be approved or rejected.", fix="Send the decision without data.")
        if review.status == "WAITING":
            key = f"decision:{id}:{firing}"
            await self._store.tell(workspace, id, "decision", key, firing=firing, payload=decision.payload())
            review = await self.get(workspace, id, firing)
        if review.status == "EXPIRED":
            raise Conflict(f"The execution {id} is over.")
        if not await self._is_so(workspace, review, decision):
            raise Conflict(f"It was {review.status.lower()} before.", fix="The first decision counts.")

    async def _is_so(self, workspace: WorkspaceId, review: Review, decision: Decision) -> bool:
        before: dict[str, Any] = await with_contents(review.decision or {}, workspace, self._blobs)
        return {**before, "message": ""} == {**decision.payload(), "message": ""}


def _review(row: asyncpg.Record) -> Review:
    status = row["status"]
    if status == "WAITING" and row["run_status"] in ("COMPLETED", "FAILED", "TERMINATED"):
        status = "EXPIRED"
    return Review(
        execution_id=row["execution_id"],
        root_id=row["root_id"],
        firing=row["firing"],
        node_id=row["node_id"],
        graph_id=row["graph_id"],
        graph_version=row["graph_version"],
        payload=unmarked(msgspec.json.decode(row["payload"])),
        status=status,
        decision=None if row["decision"] is None else unmarked(msgspec.json.decode(row["decision"])),
        created_at=row["created_at"],
        decided_at=row["decided_at"],
    )
