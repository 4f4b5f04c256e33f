"""From the bytes of a file to plain JSON values, with bounds, and every refusal told with its place."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from treadle.base.json_shape import MOST_VALUES, has_too_many_values, outline
from treadle.features.graphs.errors import BadAgentFile, FileProblem

MAX_BYTES = 20 * 1024 * 1024
MAX_DEPTH = 100
_EXPORT_AGAIN = "Export the agent again and import the file that ends in .json."
_MAX_NOTES = 100
_WHOLE_FROM = 1e16
"""Floating-point numbers from here on are written with an exponent, and have no fraction."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What PostgreSQL's text and JSON cannot hold: NUL and half surrogate pairs."""
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive (or a document that is one inside, such as .xlsx or .docx)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a SQLite database"),
    (b"RIFF", "a sound, film or image file"),
)
_TEXT_BEGINNINGS = (
    ("<!doctype html", "a web page, not the file behind it"),
    ("<html", "a web page, not the file behind it"),
    ("<", "XML or HTML"),
    ("http://", "a link to a file, not the file"),
    ("https://", "a link to a file, not the file"),
    ("---", "YAML"),
)


class Notes:
    """Remarks on a file, at most a hundred of them."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._left_out = 0

    def add(self, text: str) -> None:
        """Add one remark; after the hundredth they are only counted."""
        if len(self._texts) < _MAX_NOTES:
            self._texts.append(text)
        else:
            self._left_out += 1

    @property
    def texts(self) -> tuple[str, ...]:
        """The remarks, the last one saying how many more there were."""
        return (*self._texts, f"and {self._left_out} more remarks like these") if self._left_out else (*self._texts,)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in a document: a chain to the root, spelled out only when somebody needs to read it."""

    parent: "Place | None" = None
    key: str | int = ""

    def __str__(self) -> str:
        steps: list[str] = []
        place: Place | None = self
        while place is not None and place.parent is not None:
            steps.append(f"[{place.key}]" if isinstance(place.key, int) else f".{place.key[:60]}")
            place = place.parent
        return "".join(reversed(steps)).removeprefix(".")[:100]


def read_json(data: bytes, *, name: str, notes: Notes) -> Any:
    """Parse ``data``; ``name`` is the file's name, used in messages.

    Text that the database cannot hold (NUL, half surrogate pairs) is replaced by U+FFFD and noted; of a key that is
    given twice the last value counts, and that is noted.

    Raises:
        BadAgentFile: too large, too deep, with too many values, not JSON, or holding numbers that JSON does not have.
    """
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1_048_576:.1f} MB, and an agent file may have {MAX_BYTES // 1_048_576} MB"
        raise BadAgentFile(name, [FileProblem("", f"the file has {size}", "Move large values into files or inputs.")])
    return _clean(_parse(_decode(data, name), name, notes), name, notes)


def _decode(data: bytes, name: str) -> str:
    """Bytes to text: UTF-8, or UTF-16/32 when the bytes say so."""
    if not data.strip():
        raise BadAgentFile(name, [FileProblem("", "the file is empty", _EXPORT_AGAIN)])
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            raise BadAgentFile(name, [FileProblem("", f"this is {kind}, not an agent file", _EXPORT_AGAIN)])
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte {data[error.start]:#04x} is not {error.encoding.upper()} text"
        raise BadAgentFile(name, [FileProblem(f"line {line}", problem, "Save the file as UTF-8.")]) from None


def _check_size(text: str, name: str) -> None:
    found = outline(text.encode("utf-8", "surrogatepass"))
    if found is None or has_too_many_values(found):
        problem = f"the file holds more than {MOST_VALUES:,} values, which is more than an agent can use"
        raise BadAgentFile(name, [FileProblem("", problem, "Move large values into files or inputs.")])


def _parse(text: str, name: str, notes: Notes) -> Any:
    _check_size(text, name)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            twice = [key[:60] for key, count in Counter(key for key, _ in items).items() if count > 1]
            notes.add(f"Given more than once in one object, the last one counts: {', '.join(twice)[:200]}")
        return result

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise BadAgentFile(name, [_syntax_problem(text, error)]) from None
    except RecursionError:
        raise BadAgentFile(name, [_too_deep("")]) from None
    except ValueError:
        problem = FileProblem("", "the file holds a number with thousands of digits", "Write such a number as text.")
        raise BadAgentFile(name, [problem]) from None


def _syntax_problem(text: str, error: json.JSONDecodeError) -> FileProblem:
    beginning = text.lstrip()[:20].lower()
    for start, kind in _TEXT_BEGINNINGS:
        if beginning.startswith(start):
            return FileProblem("", f"this is {kind}, not an agent file (which is JSON)", _EXPORT_AGAIN)
    place = f"line {error.lineno}, column {error.colno}"
    if error.pos >= len(text.rstrip()):
        return FileProblem(place, "the file ends in the middle", "Download or copy the file again, whole.")
    found = text[error.pos : error.pos + 20].split("\n")[0]
    expected = error.msg[0].lower() + error.msg[1:]
    return FileProblem(
        place, f"not valid JSON: {expected}, found {found!r}", "Mend the file there, or export it again."
    )


def _too_deep(place: str) -> FileProblem:
    return FileProblem(place, f"values are nested more than {MAX_DEPTH} deep", "Keep such a value as text.")


def _clean(value: Any, name: str, notes: Notes) -> Any:
    """Check numbers and depth and mend texts, without recursion: the depth is not known to be small yet."""
    root: list[Any] = [value]
    todo: list[tuple[Any, Place, int]] = [(root, Place(), -1)]
    while todo:
        container, place, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise BadAgentFile(name, [_too_deep(str(place))])
        if isinstance(container, dict):
            _mend_keys(container, place, notes)
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            item = container[key]
            if isinstance(item, (dict, list)):
                todo.append((item, place if container is root else Place(place, key), depth + 1))
            elif isinstance(item, str):
                if _UNSTORABLE.search(item):
                    container[key] = _mend_text(item, Place(place, key), notes)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    fix = "Use a number that JSON has, null, or a text."
                    where = str(Place(place, key))
                    raise BadAgentFile(name, [FileProblem(where, f"{item} is not a number that JSON has", fix)])
                container[key] = _stored_number(item)
    return root[0]


def _stored_number(number: float) -> int | float:
    """The number as the database gives it back: large ones are whole, and there is one zero.

    An agent is told from its earlier version by what it says, so it must say the same before and after.
    """
    if number == 0.0:
        return 0.0
    return int(Decimal(repr(number))) if abs(number) >= _WHOLE_FROM else number


def _mend_keys(container: dict[str, Any], place: Place, notes: Notes) -> None:
    for key in [key for key in container if _UNSTORABLE.search(key)]:
        container[_mend_text(key, place, notes)] = container.pop(key)


def _mend_text(text: str, place: Place, notes: Notes) -> str:
    notes.add(f"{place or 'a text'}: characters that cannot be stored (NUL, half of a surrogate pair) were replaced")
    return _UNSTORABLE.sub("\ufffd", text)
