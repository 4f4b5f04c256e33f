"""What commands say to the person or the program that called them: text, tables, JSON, and one form of failure."""

import io
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.base.errors import TreadleError
from treadle.main.patience import spoken

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FAILED = 1
"""Exit code: it ran, and failed."""
BAD_INPUT = 2
"""Exit code: what was given cannot be used."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_json: ContextVar[bool] = ContextVar("json", default=False)
_SHOWN_PROBLEMS = 50
_ONE_LINE_JSON = 76
_WIDE = 200
_ENDLESS = 10_000
"""Columns that there are for a line, and for a row of a table, in a pipe or a file."""


def open_missing_streams() -> None:
    """Open what the caller has closed of standard input, output and error, so that no other file takes its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def program() -> str:
    """How the person calls Treadle, so that the commands which messages name can be typed as they stand."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m treadle"
    found = shutil.which("treadle")
    if called.stem != "treadle" or (found is not None and called.exists() and called.samefile(found)):
        return "treadle"
    return shlex.quote(sys.argv[0])


def out() -> "Console":
    """Where results go: standard output."""
    from rich.console import Console  # noqa: PLC0415 (a tenth of a second that --help does not need)

    spoken()
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def err() -> "Console":
    """Where messages and progress go: standard error."""
    from rich.console import Console  # noqa: PLC0415

    spoken()
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def room() -> int:
    """How many columns a line of results may take."""
    console = out()
    return console.width if console.is_terminal else _WIDE


def print_table(table: "Table") -> None:
    """A table as a result; in a pipe or a file every row is one whole line."""
    console = out()
    if console.is_terminal:
        console.print(table)
        return
    text = io.StringIO()
    type(console)(file=text, width=_ENDLESS, markup=False, highlight=False, emoji=False).print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def ask(question: str) -> str:
    """What the person at the terminal answers; empty when they close their input instead."""
    try:
        return err().input(question, markup=False, emoji=False).strip()
    except EOFError:
        return ""


def counted(number: int, name: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{number:,} {name}{'s' * (number != 1)}"


def plain(text: str) -> str:
    """Text that may stand in a terminal: what would move the cursor, recolour or reorder is shown as an escape."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def shown(value: Any, longest: int = 2_000) -> str:
    """A value on one or several lines: text as it is, everything else as JSON, cut when it is long."""
    text = value if isinstance(value, str) else _json_to_read(value)
    return plain(text) if len(text) <= longest else f"{plain(text[:longest])}… ({len(text):,} characters in all)"


def named(name: str, value: Any, longest: int = 2_000) -> str:
    """A value with its name: beside it, or above it when the value takes several lines."""
    text = shown(value, longest)
    return f"{plain(name)}:{chr(10) if chr(10) in text else ' '}{text}"


def _json_to_read(value: Any) -> str:
    text = to_json(value)
    return text if len(text) <= _ONE_LINE_JSON else to_json(value, indent=2)


def one_line(value: Any, longest: int = 60) -> str:
    """The beginning of a value, on one line."""
    text = " ".join((value if isinstance(value, str) else to_json(value))[: longest * 4].split())
    return plain(text if len(text) <= longest else text[: longest - 1] + "…")


def both_ends(text: str, longest: int = 300) -> str:
    """A message on one line without its middle: that of a sub-agent's sub-agent says at its end what went wrong."""
    line = " ".join(text.split())
    begin = longest // 3
    return plain(line if len(line) <= longest else f"{line[:begin]} … {line[begin - longest + 3 :]}")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON for people: letters as they are; half surrogates, which UTF-8 lacks, as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def print_json(value: Any) -> None:
    """One JSON value on standard output, and nothing else."""
    spoken()
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
