"""Large values: kept once, by the hash of their content; records and rows carry references to them."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from treadle.base.ids import WorkspaceId
from treadle.engine.ports import Blobs
from treadle.kernel.lane import Entry
from treadle.kernel.normal import weight
from treadle.kernel.records import Record, Reference, decode_records, encode_records, references, resolved

if TYPE_CHECKING:
    from treadle.engine.journal import Journal, Owner

LIMIT = 64 * 1024
"""Bytes of JSON above which a value is stored apart."""
_REMEMBERED = 256
_REMEMBERED_BYTES = 64 * 1024 * 1024
"""Of values that are remembered, as JSON: remembering one keeps it in memory."""


class Writes(Protocol):
    """What gathers values that must be stored: a batch of the journal, or one row."""

    before: list[Awaitable[None]]
    """What must be durable before whatever refers to it is."""
    stored: int
    """Bytes of those values."""


class LargeValues:
    """Replaces the large values of one root's records and rows. A value seen again is not stored again."""

    def __init__(self, workspace: WorkspaceId, blobs: Blobs) -> None:
        self._workspace = workspace
        self._blobs = blobs
        self._known: OrderedDict[int, tuple[Any, Reference]] = OrderedDict()
        self._known_bytes = 0
        self._stored: set[str] = set()
        """Digests of what was stored for this root already."""

    def recorded_outputs(
        self, outputs: Sequence[tuple[str, Any]], journal: "Journal", owner: "Owner"
    ) -> Sequence[tuple[str, Any]]:
        """Outputs as they are recorded; the very same sequence when none is large."""
        for _, value in outputs:
            kind = type(value)
            if (kind is str and len(value) > LIMIT // 4) or kind is list or kind is dict:
                batch = journal.batch(owner)
                return [(pin, self.recorded_value(each, batch)) for pin, each in outputs]
        return outputs

    def recorded(self, values: Mapping[str, Any], writes: Writes) -> dict[str, Any]:
        """A mapping of values as it is recorded."""
        return {pin: self.recorded_value(value, writes) for pin, value in values.items()}

    def recorded_first(self, record: Record, writes: Writes) -> Record:
        """A first record of a re-run as it is kept."""
        if record[0] == "keep":
            return (*record[:3], [(pin, self.recorded_value(each, writes)) for pin, each in record[3]], *record[4:])
        if record[0] == "begin":
            inputs = {node: self.recorded(values, writes) for node, values in record[2].items()}
            return (*record[:2], inputs, *record[3:])
        if record[0] == "open":
            return ("open", [[node, causes, self.recorded(edits, writes)] for node, causes, edits in record[1]])
        return record

    def recorded_entry(self, packed: Entry, writes: Writes) -> Entry:
        """Something that waits in front of a node (``pack_value``, ``pack_set``) as it is kept."""
        if len(packed) == 1:
            return packed
        if len(packed) == 2:
            return self.recorded_value(packed[0], writes), packed[1]
        return packed[0], self.recorded(packed[1], writes), *packed[2:]

    def recorded_payload(self, payload: Any, writes: Writes) -> Any:
        """What a firing waits with, as it is recorded: of an object each member by itself, so that a short message
        can be shown without the long text that it is about.
        """
        return self.recorded(payload, writes) if type(payload) is dict else self.recorded_value(payload, writes)

    def recorded_value(self, value: Any, writes: Writes) -> Any:
        """The value, or a reference to it; its content is durable before what ``writes`` gathers is."""
        kind = type(value)
        if kind is not str and kind is not list and kind is not dict:
            return value
        known = self._known.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        if weight(value) <= LIMIT:
            return value
        content = encode_records([("", value)])
        reference = Reference(hashlib.sha256(content).hexdigest(), len(content))
        if reference.digest not in self._stored:
            self._stored.add(reference.digest)
            writes.before.append(self._blobs.put(self._workspace, reference.digest, content))
            writes.stored += len(content)
        self._remember(value, reference)
        return reference

    def _remember(self, value: Any, reference: Reference) -> None:
        replaced = self._known.pop(id(value), None)
        self._known[id(value)] = (value, reference)
        self._known_bytes += reference.size - (replaced[1].size if replaced else 0)
        while len(self._known) > _REMEMBERED or (self._known_bytes > _REMEMBERED_BYTES and len(self._known) > 1):
            _, (_, forgotten) = self._known.popitem(last=False)
            self._known_bytes -= forgotten.size


class _Row:
    """What a row that is written by itself refers to."""

    def __init__(self) -> None:
        self.before: list[Awaitable[None]] = []
        self.stored = 0


async def kept_apart(groups: Sequence[Mapping[str, Any]], workspace: WorkspaceId, blobs: Blobs) -> list[dict[str, Any]]:
    """Mappings of values for a row: large ones are references, whose content is durable when this returns."""
    row, large = _Row(), LargeValues(workspace, blobs)
    recorded = [large.recorded(values, row) for values in groups]
    await asyncio.gather(*row.before)
    return recorded


async def first_records(records: Sequence[Record], workspace: WorkspaceId, blobs: Blobs) -> list[Record]:
    """The first records of a re-run as they are kept; what they refer to is durable when this returns."""
    row, large = _Row(), LargeValues(workspace, blobs)
    recorded = [large.recorded_first(each, row) for each in records]
    await asyncio.gather(*row.before)
    return recorded


async def load_contents(blobs: Blobs, wanted: Mapping[str, WorkspaceId]) -> dict[str, Any]:
    """The large values with these digests. Raises ``NotFound``."""
    bodies = await asyncio.gather(*(blobs.get(workspace, digest) for digest, workspace in wanted.items()))
    return {digest: decode_records(body)[0][1] for digest, body in zip(wanted, bodies, strict=True)}


async def with_contents(value: Any, workspace: WorkspaceId, blobs: Blobs) -> Any:
    """``value`` with each reference replaced by what it stands for. Raises ``NotFound``."""
    wanted = {each.digest: workspace for each in references(value)}
    return resolved(value, await load_contents(blobs, wanted)) if wanted else value
