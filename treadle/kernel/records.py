"""The journal's records: the events of an execution in the form in which they are kept.

A record is a JSON array whose first member is its kind. Record *n* of an execution has sequence number *n*, from 1.

| kind | members | event |
|---|---|---|
| begin | time, {node: inputs}, keeping, details | the run starts |
| start | firing, attempt, time, inputs, node | an attempt that may touch the outside begins |
| out | firing, pin, value, node | a streaming firing sent a value |
| note | firing, value | a firing notes something for its later attempts |
| end | firing, outputs, error, time, microseconds, extra, node | a firing is over |
| retry | firing, attempt, error, time, due, node, extra | an attempt failed and will be repeated |
| wait | firing, kind, payload, time, due, node, extra | a firing waits for a person, a time or an event |
| resume | firing, decision, time, node | what a firing waited for has come |
| tool | firing, slot, node, inputs | a firing calls a node as a tool |
| sub | firing, slot, execution, status, error, time, node | a sub-agent is over; in the commit of its own end |
| keep | node, causes, outputs, error, earlier firing | re-run: a firing taken over |
| open | [[node, causes, inputs]] | re-run: everything is taken over |
| stop | reason, time | the run is stopped |
| close | status, time, details | the run is over, or waits |

Times are milliseconds since 1970. ``error`` is an empty text when there is none. ``node`` is the index of the firing's
node in the plan: whoever shows a record need not fold those before it. Journals of early installs lack it. ``extra``
is what an attempt has used of models and paid services; it is not there, or null, when that is nothing.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from treadle.kernel.machine import Machine

FORMAT = 3
"""Version of this form, and of snapshots. A worker claims only executions whose format it can read."""
REFERENCES_IN_ROWS = 2
"""The first format in which the inputs of a queued run, and what people tell a run, may be references."""

Record = tuple[Any, ...]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_MARKS = ("$float", "$int", "$blob", "$raw", "$text", "$pairs")
_SAFE_INT = 2**63
_HALF = re.compile(r"[\ud800-\udfff]")


class Reference:
    """Stands in a record for a large value, which is kept once, by the hash of its content."""

    __slots__ = ("digest", "size")

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Reference({self.digest[:12]}, {self.size} bytes)"


def encode_records(records: list[Record]) -> bytes:
    """Records as one JSON array.

    Values that plain JSON lacks (infinities, references, huge integers, half surrogates) are marked.
    """
    try:
        body = _encoder.encode(records)
    except (TypeError, ValueError):
        return _encoder.encode([_mark(each) for each in records])
    if b"null" in body or b'{"$' in body:  # a null may be an infinity that JSON cannot say
        return b"[" + b",".join(_encode_record(each) for each in records) + b"]"
    return body


def _encode_record(record: Record) -> bytes:
    body = _encoder.encode(record)
    return _encoder.encode(_mark(record)) if b"null" in body or b'{"$' in body else body


def decode_records(body: bytes) -> list[Record]:
    """What ``encode_records`` wrote."""
    records: list[Any] = _decoder.decode(body)
    if b'{"$' in body:
        records = [unmarked(each) for each in records]
    return records


def references(value: Any) -> Iterator[Reference]:
    """Every reference inside a record."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from references(each)


def resolved(value: Any, contents: Mapping[str, Any]) -> Any:
    """``value`` with each reference replaced by its content (by digest), which is shared, not copied."""
    if isinstance(value, Reference):
        return contents[value.digest]
    if isinstance(value, list | tuple):
        return [resolved(each, contents) for each in value]
    if isinstance(value, dict):
        return {key: resolved(each, contents) for key, each in value.items()}
    return value


def apply(machine: Machine, record: Record) -> None:
    """Feed one record to the state machine.

    Raises:
        ValueError: the record's kind is unknown: it was written by a newer release.
    """
    event = _EVENTS.get(record[0])
    if event is None:
        raise ValueError(f"unknown record kind {record[0]!r}")
    event(machine, record)


def _apply_begin(machine: Machine, record: Record) -> None:
    machine.begin({int(node): values for node, values in record[2].items()}, keeping=record[3])


def _apply_end(machine: Machine, record: Record) -> None:
    machine.ended(record[1], [(pin, value) for pin, value in record[2]], record[3] or None)


def _apply_keep(machine: Machine, record: Record) -> None:
    causes = [(cause[0], cause[1]) for cause in record[2]]
    machine.kept(record[1], causes, [(pin, value) for pin, value in record[3]], record[4] or None)


def _apply_open(machine: Machine, record: Record) -> None:
    machine.opened(
        {(node, frozenset((cause[0], cause[1]) for cause in causes)): values for node, causes, values in record[1]}
    )


def _apply_tool(machine: Machine, record: Record) -> None:
    machine.called(record[1], record[2], record[3], record[4])


def _ignore(machine: Machine, record: Record) -> None:
    """The record says something of the run that does not change what fires."""


_EVENTS: Mapping[str, Callable[[Machine, Record], None]] = {
    "begin": _apply_begin,
    "start": lambda machine, record: machine.started(record[1], record[2]),
    "out": lambda machine, record: machine.emitted(record[1], record[2], record[3]),
    "note": lambda machine, record: machine.noted(record[1], record[2]),
    "end": _apply_end,
    "retry": lambda machine, record: machine.retrying(record[1], record[2], record[5]),
    "wait": lambda machine, record: machine.suspended(record[1], record[2], record[3], record[5]),
    "resume": lambda machine, record: machine.resumed(record[1], record[2]),
    "tool": _apply_tool,
    "sub": _ignore,
    "keep": _apply_keep,
    "open": _apply_open,
    "stop": lambda machine, record: machine.stopped(record[1]),
    "close": _ignore,
}


def _mark(value: Any) -> Any:
    """``value`` with everything that JSON lacks in its marked form, and marks that people wrote kept as data."""
    kind = type(value)
    if kind is dict:
        return _mark_dict(value)
    if kind is list or kind is tuple:
        return [_mark(each) for each in value]
    if kind is float and not math.isfinite(value):
        return {"$float": repr(value)}
    if kind is int and not -_SAFE_INT <= value < _SAFE_INT:
        return {"$int": hex(value)}
    if kind is Reference:
        return {"$blob": [value.digest, value.size]}
    if kind is str and _is_broken(value):
        return {"$text": value.encode("unicode_escape").decode()}
    return value


def _mark_dict(value: dict[Any, Any]) -> dict[str, Any]:
    marked = {str(key): _mark(each) for key, each in value.items()}
    if any(map(_is_broken, marked)):
        return {"$pairs": [[_mark(key), each] for key, each in marked.items()]}
    return {"$raw": marked} if len(marked) == 1 and next(iter(marked)) in _MARKS else marked


def _is_broken(text: str) -> bool:
    """Whether the text holds half a surrogate pair, which has no form in UTF-8."""
    return not text.isascii() and _HALF.search(text) is not None


def unmarked(value: Any) -> Any:
    """Decoded JSON with every mark replaced by what it stands for."""
    if type(value) is dict:
        if len(value) == 1:
            mark, content = next(iter(value.items()))
            if mark == "$raw":
                return {key: unmarked(each) for key, each in content.items()}
            if mark == "$float":
                return float(content)
            if mark == "$int":
                return int(content, 0)
            if mark == "$text":
                return str(content.encode().decode("unicode_escape"))
            if mark == "$pairs":
                return {unmarked(key): unmarked(each) for key, each in content}
            if mark == "$blob":
                return Reference(content[0], content[1])
        return {key: unmarked(each) for key, each in value.items()}
    if type(value) is list:
        return [unmarked(each) for each in value]
    return value
