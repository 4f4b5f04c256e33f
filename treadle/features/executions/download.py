"""A run as one JSON file: its agent, what went in and came out, every firing, every event, large values included."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from treadle.base.errors import NotFound
from treadle.base.ids import WorkspaceId
from treadle.engine.store import ExecutionRow
from treadle.engine.view import FiringView, History
from treadle.features.executions.service import Executions
from treadle.features.executions.values import stored_value
from treadle.kernel.records import Record, references

FORM = "treadle-run"
VERSION = 1
MOST_VALUE_BYTES = 100_000_000
"""Of large values in one file; those beyond it are named with their size and hash only."""
_VALUES_KNOWN = 100_000
"""Large values of which the file takes notice."""


@dataclass(frozen=True, slots=True)
class Forms:
    """How what is in the file looks: as it does elsewhere over HTTP."""

    run: Callable[[ExecutionRow], Awaitable[dict[str, Any]]]
    firing: Callable[[FiringView], dict[str, Any]]
    event: Callable[[int, Record], dict[str, Any]]


class Download:
    """Writes the file of one run and of its sub-agents, piece by piece: however long it is, little is in memory."""

    def __init__(self, executions: Executions, forms: Forms) -> None:
        self._executions = executions
        self._forms = forms
        self._values: dict[str, int] = {}
        """Large values that were mentioned: digest -> size."""

    async def write(self, workspace: WorkspaceId, rows: list[ExecutionRow], agent: Any) -> AsyncIterator[bytes]:
        """The file for these runs: the one that is meant, and its descendants. ``agent`` is its agent file."""
        head = {"form": FORM, "version": VERSION, "written_at": datetime.now(UTC), "agent": agent}
        yield _json(head)[:-1] + b',"executions":['
        for number, row in enumerate(rows):
            if number:
                yield b","
            async for piece in self._execution(row):
                yield piece
        yield b'],"values":{'
        async for piece in self._contents(workspace):
            yield piece
        yield b"}}\n"

    async def _execution(self, row: ExecutionRow) -> AsyncIterator[bytes]:
        self._mention([row.inputs, row.outputs])
        yield _json(await self._forms.run(row))[:-1] + b',"firings":['
        comma = b""
        history = History(await self._executions.plan(row), self._executions.secret_pins)
        async for _ in self._executions.fold(row, history):
            for firing in history.take():
                yield comma + _json(self._forms.firing(firing))
                comma = b","
        for firing in history.finish():
            yield comma + _json(self._forms.firing(firing))
            comma = b","
        yield b'],"events":['
        comma = b""
        async for piece in self._executions.journal(row):
            self._mention(piece)
            yield comma + b",".join(_json(self._forms.event(number, record)) for number, record in piece)
            comma = b","
        yield b"]}"

    def _mention(self, value: Any) -> None:
        for each in references(value):
            if len(self._values) < _VALUES_KNOWN:
                self._values[each.digest] = each.size

    async def _contents(self, workspace: WorkspaceId) -> AsyncIterator[bytes]:
        left = MOST_VALUE_BYTES
        comma = b""
        for digest, size in self._values.items():
            yield comma + _json(digest) + b":"
            comma = b","
            if size > left:
                yield _json({"size": size, "left_out": True})
                continue
            left -= size
            async for piece in self._content(workspace, digest):
                yield piece

    async def _content(self, workspace: WorkspaceId, digest: str) -> AsyncIterator[bytes]:
        try:
            value = await stored_value(self._executions.blobs, workspace, digest)
        except NotFound:
            yield _json({"missing": True})
            return
        yield b'{"value":'
        async for piece in value.pieces:
            yield piece
        yield b"}"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
