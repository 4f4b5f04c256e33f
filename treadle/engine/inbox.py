"""Stops, review decisions and outside events: rows that the holder of a root folds into its journal."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from treadle.engine.root import Root
from treadle.kernel.firing import Phase
from treadle.kernel.records import unmarked
from treadle.kernel.states import Status

_OPEN = (
    "SELECT id, root_id, execution_id, kind, firing, payload FROM inbox"
    " WHERE root_id = ANY ($1) AND folded_at IS NULL ORDER BY id"
)


async def open_rows(pool: asyncpg.Pool, roots: Iterable[UUID]) -> dict[UUID, list[asyncpg.Record]]:
    """Inbox rows of these roots that nobody has folded in, by root, in order."""
    rows: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in await pool.fetch(_OPEN, list(roots)):
        rows[row["root_id"]].append(row)
    return rows


def fold(root: Root, rows: Iterable[asyncpg.Record]) -> None:
    """Fold rows into the root. A row that no longer fits changes nothing, and is done with."""
    for row in rows:
        if root.over or row["id"] in root.folded:
            continue
        root.folded.add(row["id"])
        root.batch().folded.append(row["id"])
        payload = unmarked(msgspec.json.decode(row["payload"]))
        if row["kind"] == "stop":
            root.stop(str(payload.get("reason") or "Stopped by a person."), Status.TERMINATED)
        else:
            _resume(root, row, payload)


def _resume(root: Root, row: asyncpg.Record, payload: dict[str, Any]) -> None:
    run = root.runs.get(row["execution_id"])
    firing = run.machine.firings.get(row["firing"]) if run is not None else None
    expected = Phase.REVIEW if row["kind"] == "decision" else Phase.WAITING
    if run is None or firing is None or firing.phase is not expected:
        return
    timer = run.timers.pop(firing.number, None)
    if timer is not None:
        timer.cancel()
    root.resume(run, firing, payload)
