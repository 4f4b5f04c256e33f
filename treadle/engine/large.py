"""Large values: kept once, by the hash of their content; records carry references to them."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from treadle.base.ids import WorkspaceId
from treadle.engine.ports import Blobs
from treadle.kernel.normal import weight
from treadle.kernel.records import Reference, encode_records

if TYPE_CHECKING:
    from treadle.engine.journal import Batch, Journal, Owner

LIMIT = 64 * 1024
"""Bytes of JSON above which a value is stored apart."""
_REMEMBERED = 256


class LargeValues:
    """Replaces the large values of one root's records. A value seen again is not stored again."""

    def __init__(self, workspace: WorkspaceId, blobs: Blobs) -> None:
        self._workspace = workspace
        self._blobs = blobs
        self._known: OrderedDict[int, tuple[Any, Reference]] = OrderedDict()

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

    def recorded(self, values: Mapping[str, Any], batch: "Batch") -> dict[str, Any]:
        """A mapping of values as it is recorded."""
        return {pin: self.recorded_value(value, batch) for pin, value in values.items()}

    def recorded_value(self, value: Any, batch: "Batch") -> Any:
        """The value, or a reference to it; its content is durable before ``batch`` is."""
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
        batch.before.append(self._blobs.put(self._workspace, reference.digest, content))
        batch.stored += len(content)
        self._known[id(value)] = (value, reference)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return reference
