"""What commands say to the person or the program that called them: text, tables, JSON, and one form of failure."""

import json
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from treadle.base.errors import TreadleError

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
"""Exit code: it ran, and failed."""
BAD_INPUT = 2
"""Exit code: what was given cannot be used."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_json: ContextVar[bool] = ContextVar("json", default=False)
_SHOWN_PROBLEMS = 50


def out() -> "Console":
    """Where results go: standard output."""
    from rich.console import Console  # noqa: PLC0415 (a tenth of a second that --help does not need)

    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def err() -> "Console":
    """Where messages and progress go: standard error."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def plain(text: str) -> str:
    """Text that may stand in a terminal: what would move the cursor, recolour or reorder is shown as an escape."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def shown(value: Any, longest: int = 2_000) -> str:
    """A value on one or several lines: text as it is, everything else as JSON, cut when it is long."""
    text = value if isinstance(value, str) else to_json(value)
    return plain(text) if len(text) <= longest else f"{plain(text[:longest])}… ({len(text):,} characters in all)"


def one_line(value: Any, longest: int = 60) -> str:
    """The beginning of a value, on one line."""
    text = " ".join((value if isinstance(value, str) else to_json(value))[: longest * 4].split())
    return plain(text if len(text) <= longest else text[: longest - 1] + "…")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON for people: letters as they are; half surrogates, which UTF-8 lacks, as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def print_json(value: Any) -> None:
    """One JSON value on standard output, and nothing else."""
    sys.stdout.write(to_json(value, indent=2) + "\n")


def want_json(wanted: bool) -> None:
    """Whether the command that runs was asked for JSON: failures are then told on standard output, too, as JSON."""
    _json.set(wanted)


def tell_failure(error: TreadleError) -> int:
    """Print an expected failure; returns the exit code that goes with it."""
    if _json.get():
        print_json({"error": failure(error)})
    console = err()
    console.print(f"Error: {plain(error.message)}", style="bold red")
    problems = error_problems(error)
    if len(problems) > 1:
        print_problems(problems)
    elif error.fix:
        console.print(plain(error.fix))
    return BAD_INPUT if 400 <= error.status < 500 else FAILED


def failure(error: TreadleError) -> dict[str, Any]:
    """A failure as programs get it: the form of the HTTP interface."""
    from treadle.web.problems import failure_of  # noqa: PLC0415

    return failure_of(error).error.model_dump(mode="json")


def error_problems(error: TreadleError) -> list[dict[str, str]]:
    """The single problems of an error that has several, each with all fields."""
    from treadle.web.problems import problem_list  # noqa: PLC0415

    return [each.model_dump() for each in problem_list(error)]


def print_problems(problems: Sequence[dict[str, str]]) -> None:
    """Each problem with its place, and what to do about it."""
    console = err()
    for each in problems[:_SHOWN_PROBLEMS]:
        place = each["node_name"] or each["node"] or each["place"]
        where = f"{place} · {each['pin']}" if place and each["pin"] else place or each["pin"]
        console.print(f"{each['severity']:<7} ", style="red" if each["severity"] == "error" else "yellow", end="")
        console.print(plain(f"{where}: {each['message']}" if where else each["message"]))
        if each["fix"]:
            console.print(f"        {plain(each['fix'])}", style="dim")
    if len(problems) > _SHOWN_PROBLEMS:
        console.print(f"… and {len(problems) - _SHOWN_PROBLEMS} more; --json shows all.")
