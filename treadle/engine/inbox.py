"""Stops, review decisions and outside events: rows that the holder of a root folds into its journal."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.engine.large import with_contents
from treadle.engine.ports import Blobs
from treadle.engine.root import Root
from treadle.kernel.firing import Phase
from treadle.kernel.records import unmarked
from treadle.kernel.states import Status

_OPEN = (
    "SELECT id, root_id, execution_id, workspace_id, kind, firing, payload FROM inbox"
    " WHERE root_id = ANY ($1) AND folded_at IS NULL ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a run is told."""

    id: int
    kind: str
    """``stop``, ``decision`` or ``event``."""
    execution: ExecutionId
    firing: int | None
    payload: dict[str, Any]
    unreadable: str = ""
    """Why a large value of the payload is not to be had; the payload is then empty."""


async def open_rows(pool: asyncpg.Pool, blobs: Blobs, roots: Iterable[UUID]) -> dict[UUID, list[Told]]:
    """Inbox rows of these roots that nobody has folded in, by root, in order."""
    rows: dict[UUID, list[Told]] = defaultdict(list)
    for row in await pool.fetch(_OPEN, list(roots)):
        rows[row["root_id"]].append(await _told(row, blobs))
    return rows


async def _told(row: asyncpg.Record, blobs: Blobs) -> Told:
    payload, unreadable = unmarked(msgspec.json.decode(row["payload"])), ""
    try:
        payload = await with_contents(payload, WorkspaceId(row["workspace_id"]), blobs)
    except (NotFound, OSError) as error:
        payload, unreadable = {}, f"What the run was told cannot be read: {error}"
    return Told(row["id"], row["kind"], ExecutionId(row["execution_id"]), row["firing"], payload, unreadable)


def fold(root: Root, rows: Iterable[Told]) -> None:
    """Fold rows into the root. A row that no longer fits changes nothing, and is done with."""
    for row in rows:
        if root.over or row.id in root.folded:
            continue
        root.folded.add(row.id)
        root.batch().folded.append(row.id)
        if row.unreadable:
            root.stop(row.unreadable, Status.FAILED)
        elif row.kind == "stop":
            root.stop(str(row.payload.get("reason") or "Stopped by a person."), Status.TERMINATED)
        else:
            _resume(root, row)


def _resume(root: Root, row: Told) -> None:
    run = root.runs.get(row.execution)
    firing = run.machine.firings.get(row.firing) if run is not None and row.firing is not None else None
    expected = Phase.REVIEW if row.kind == "decision" else Phase.WAITING
    if run is None or firing is None or firing.phase is not expected:
        return
    timer = run.timers.pop(firing.number, None)
    if timer is not None:
        timer.cancel()
    root.resume(run, firing, row.payload)
