"""Regular expressions of users, within bounds.

Most patterns mean the same to Python and to RE2, whose time grows only with the length of the text; these run in place.
A pattern that needs more than RE2 has (look-around, back references, large repeats, Unicode rules that differ) is
matched by Python's engine, in a process that is killed when it takes too long; so are long texts, by either engine.

RE2's syntax: https://github.com/google/re2/wiki/Syntax
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

INLINE_PATTERN_CAP = 500
"""Longer patterns, in characters, are never run in place."""

INLINE_WORK = 20_000_000
"""A search runs in place when size of pattern x length of text stays below this: some hundredths of a second."""

RESULT_CAP = 10_000
"""Longest text of one match, in characters."""

_BLANKS = r"\t\n\r\f\v\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_CLASSES = {"d": r"\p{Nd}", "w": r"\p{L}\p{N}_", "s": _BLANKS}
_SAME_ESCAPES = frozenset("nrtfv")
_EVERYTHING = frozenset({r"\s\S", r"\S\s", r"\w\W", r"\W\w", r"\d\D", r"\D\d"})
_TOKEN = re.compile(
    r"""
      \\(?P<escape>.)
    | \((?P<group>\?:|\?P<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))
    | (?P<quantifier>[*+?]|\{\d{1,4}(?:,\d{0,4})?\})\??(?![*+?{])
    | \[(?P<negated>\^?)(?P<set>\]?(?:\\.|[^\]\[\\&|~])*)\]
    | (?P<plain>[^\\()\[*+?{}])
    | (?P<close>\))
    """,
    re.VERBOSE | re.DOTALL,
)
_SET_TOKEN = re.compile(r"\\(?P<escape>.)|(?P<doubled>--)|(?P<plain>.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Flags:
    """How a pattern is applied."""

    case_sensitive: bool = True
    dot_all: bool = True


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern in RE2's notation, and on which texts it means the same as in Python's."""

    pattern: str
    size: int
    """About how many steps one character of text may cost."""
    boundaries: bool
    """It asks for word boundaries, which RE2 knows in ASCII texts only."""
    ends: bool
    """It uses ``$``, which in Python also matches before a line end that closes the text."""


def search_now(pattern: str, text: str, flags: Flags, group: int, limit: int) -> dict[str, Any]:
    """``{"found": ...}`` as of ``treadle.blocks.pattern_search.search``, or ``{"fault": ...}`` for a wrong pattern.

    Without a limit of time.
    """
    return by_re2(pattern, text, flags, group, limit) or by_python(pattern, text, flags, group, limit)


def is_small(pattern: str, text: str) -> bool:
    """Whether RE2 is sure to be done with it in some hundredths of a second."""
    translation = translate(pattern) if len(pattern) <= INLINE_PATTERN_CAP else None
    return translation is not None and translation.size * (len(text) + 100) <= INLINE_WORK


def by_re2(pattern: str, text: str, flags: Flags, group: int, limit: int) -> dict[str, Any] | None:
    """The answer of RE2; None where Python's could be another."""
    if not (_is_unicode(pattern) and _is_unicode(text)):
        return None
    translation = translate(pattern)
    linear = (
        _compiled(translation.pattern, flags) if translation and _agree(translation, text, flags, pattern) else None
    )
    if linear is None:
        return None
    matches = list(islice(linear.finditer(text), limit))
    # After the first match the engines differ about where the next empty one is.
    if limit > 1 and any(each.start() == each.end() for each in matches):
        return None
    return {"found": _groups(iter(matches), linear.groups, group)}


def _is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8, as RE2 needs it: halves of surrogate pairs cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _agree(translation: Translation, text: str, flags: Flags, pattern: str) -> bool:
    """Whether both engines read this text alike."""
    if not text.isascii() and translation.boundaries:
        return False
    if not flags.case_sensitive and not (text.isascii() and pattern.isascii()):
        return False
    return not (translation.ends and text.endswith("\n"))


def by_python(pattern: str, text: str, flags: Flags, group: int, limit: int) -> dict[str, Any]:
    """The answer of Python's engine."""
    options = re.NOFLAG
    if not flags.case_sensitive:
        options |= re.IGNORECASE
    if flags.dot_all:
        options |= re.DOTALL
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern, options)
    except (re.error, RecursionError, OverflowError) as error:
        return {"fault": str(error)}
    return {"found": _groups(islice(compiled.finditer(text), limit), compiled.groups, group)}


def _groups(matches: Iterator[Any], groups: int, group: int) -> list[str] | None:
    if not 0 <= group <= groups:
        return None
    found = (match.group(group) for match in matches)
    return [each[:RESULT_CAP] for each in found if each is not None]


@lru_cache(maxsize=512)
def _compiled(pattern: str, flags: Flags) -> Any:
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.case_sensitive = flags.case_sensitive
    options.dot_nl = flags.dot_all
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


@lru_cache(maxsize=512)
def translate(pattern: str) -> Translation | None:
    """The pattern for RE2; None when it uses something that RE2 lacks or reads differently."""
    parts: list[str] = []
    open_groups: list[int] = []
    place, factor = 0, 1
    body: str | None = None  # what a quantifier would repeat; None where there is nothing to repeat
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        part = token and _translated(token)
        if token is None or part is None:
            return None
        place = token.end()
        if token["quantifier"]:
            if body is None or _may_be_empty(body):
                return None
            factor *= _repeats(token["quantifier"])
        body = None if token["quantifier"] or token["group"] is not None or part in ("^", "$", "|") else part
        parts.append(part)
        if token["group"] is not None:
            open_groups.append(len(parts) - 1)
        elif token["close"]:
            if not open_groups:
                return None
            body = "".join(parts[open_groups.pop() :])
    boundaries = "\\b" in parts or "\\B" in parts
    return Translation("".join(parts), (len(pattern) + 1) * factor, boundaries, "$" in parts)


def _repeats(quantifier: str) -> int:
    """How often a quantifier may copy what it repeats, in RE2's program."""
    return max([1, *(int(number) for number in re.findall(r"\d+", quantifier))])


def _may_be_empty(body: str) -> bool:
    """Whether a repeated part can match nothing: then the engines differ about what its groups hold."""
    if len(body) == 1 or body[0] == "[":
        return False
    if any(sign in body for sign in ("^", "$", "\\b", "\\B")):
        return body[0] == "(" or len(body) == 2
    compiled = _compiled(body, Flags())
    return compiled is None or compiled.fullmatch("") is not None


def _translated(token: re.Match[str]) -> str | None:
    if token["escape"] is not None:
        return _escape(token["escape"])
    if token["set"] is not None:
        return _set(token["negated"], token["set"])
    return token.group()


def _escape(letter: str) -> str | None:
    if letter in _CLASSES:
        return f"[{_CLASSES[letter]}]"
    if letter.lower() in _CLASSES:
        return f"[^{_CLASSES[letter.lower()]}]"
    return f"\\{letter}" if letter in ("b", "B") else _literal(letter)


def _literal(letter: str) -> str | None:
    """An escaped sign that means itself, or one of the control characters that both engines know."""
    if letter == " ":
        return letter
    same = letter in _SAME_ESCAPES or (letter.isascii() and letter.isprintable() and not letter.isalnum())
    return f"\\{letter}" if same else None


def _set(negated: str, content: str) -> str | None:
    if content in _EVERYTHING and not negated:
        return "(?s:.)"
    parts: list[str] = []
    for token in _SET_TOKEN.finditer(content):
        part = _in_set(token, content)
        if part is None:
            return None
        parts.append(part)
    return f"[{negated}{''.join(parts)}]" if parts else None


def _in_set(token: re.Match[str], content: str) -> str | None:
    sign, letter = token.group(), token["escape"]
    if letter is None:
        if sign == "-" and (token.start() == 0 or token.end() == len(content)):
            return "\\-"
        return None if token["doubled"] else r"\]" if sign == "]" else sign
    if letter not in _CLASSES:
        return r"\P{Nd}" if letter == "D" else _literal(letter)
    before, after = content[: token.start()], content[token.end() :]
    is_range = (before.endswith("-") and len(before) > 1) or (after.startswith("-") and len(after) > 1)
    return None if is_range else _CLASSES[letter]
