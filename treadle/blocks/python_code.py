"""Python code of users and models, in an interpreter without files, network, environment or host objects.

The interpreter (pydantic-monty, written in Rust) runs in worker processes of its own, which are killed when they pass
their limits. Nothing of the code is ever compiled or run by this server's own Python.
"""

import asyncio
import atexit
import keyword
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused, RetryLater
from treadle.sdk.pins import Inputs, Outputs, pin

MAX_CODE = 100_000
MAX_PRINTED = 100_000
"""Characters of printed text that are kept."""
MAX_VALUES = 200_000
"""Values in the result, nested ones counted where they are shown."""
MAX_TEXT = 10_000_000
"""Characters of text in the result."""
MAX_DEPTH = 100
_QUEUE_SECONDS = 60.0


class PythonCode(Inputs):
    """Pins of the Python block."""

    code: str = pin("The code. Its last line, or a variable called result, is the result.", format="code")
    inputs: dict[str, Any] = pin(
        "Values that the code sees as variables, by name.", default_factory=dict, advanced=False
    )
    seconds: float = pin("How long the code may run, in seconds.", default=5.0, ge=0.1, le=30.0)
    megabytes: int = pin("How much memory the code may use.", default=64, ge=1, le=512)


class PythonResult(Outputs):
    """What the code made."""

    result: Any = pin("The value of the last line, or of the variable result.")
    printed: str = pin("What the code printed.")


@block(
    id="126047ee-8f43-4094-9dd5-146599100c5b",
    name="RunPythonBlock",
    outputs=PythonResult,
    work=Work.READ,
    categories=("DEVELOPER_TOOLS",),
    examples=(
        Example(
            {"code": "total = sum(prices)\nprint('adding')\ntotal / len(prices)", "inputs": {"prices": [1, 2, 6]}},
            [("result", 3.0), ("printed", "adding\n")],
            title="The average of some prices",
        ),
        Example(
            {"code": "result = {word: len(word) for word in text.split()}", "inputs": {"text": "to be"}},
            [("result", {"to": 2, "be": 2}), ("printed", "")],
            title="A variable called result",
        ),
    ),
)
async def run_python(inputs: PythonCode, ctx: Context) -> Stream:
    """Run Python code on some values.

    The code has most of the language and modules such as json, re, math, datetime and collections; it has no files, no
    network, no other packages and no generators. It is stopped at its limits of time and memory.
    """
    if len(inputs.code) > MAX_CODE:
        raise InputRefused({"code": f"longer than {MAX_CODE:,} characters"}, fix="Shorten the code.")
    for name in inputs.inputs:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InputRefused({"inputs": f"{name[:40]!r} cannot be a variable"}, fix="Use letters, digits and _ only.")
    loop = asyncio.get_running_loop()
    interpreter = _interpreter()
    value, printed = await loop.run_in_executor(
        interpreter.threads, interpreter.run, inputs.code, inputs.inputs, inputs.seconds, inputs.megabytes
    )
    yield "result", _plain(value, iter(range(MAX_VALUES)), [MAX_TEXT])
    yield "printed", printed


class _Interpreter:
    """The worker processes, and the threads that wait for them (the library's own event loop can abort at exit)."""

    def __init__(self) -> None:
        from pydantic_monty import Monty  # noqa: PLC0415

        workers = os.cpu_count() or 1
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="python-code")
        self._pool = Monty(max_processes=workers, checkout_timeout=_QUEUE_SECONDS, request_timeout=60.0)
        self._pool.__enter__()
        atexit.register(self._pool.__exit__, None, None, None)

    def run(self, code: str, inputs: dict[str, Any], seconds: float, megabytes: int) -> tuple[Any, str]:
        """The result and the printed text. Blocks; raises ``BlockError`` for whatever goes wrong with the code."""
        from pydantic_monty import (  # noqa: PLC0415
            MontyError,
            MontyRuntimeError,
            MontySyntaxError,
            ResourceLimits,
        )

        limits = ResourceLimits(
            max_feed_duration_secs=seconds,
            max_memory=megabytes << 20,
            max_recursion_depth=500,
            max_total_sleep_secs=0.0,
        )
        printed = _Printed()
        try:
            with self._pool.checkout(limits=limits, script_name="code") as session:
                value = session.feed_run(code, inputs=inputs, print_callback=printed)
                if value is None:
                    value = session.feed_run("result", external_lookup={"result": None}, print_callback=printed)
                return value, printed.text()
        except (MontyRuntimeError, MontySyntaxError) as error:
            raise BlockError(f"The code failed: {error.display()}", fix="Correct the code or its inputs.") from error
        except MontyError as error:
            raise BlockError(f"The interpreter gave up: {error}", fix="Simplify the code or its inputs.") from error
        except TimeoutError as error:
            raise RetryLater("No interpreter was free to run the code.", fix="Try again later.") from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BlockError(
                f"A value cannot be passed on: {error}.", fix="Use plain values: text, numbers, lists."
            ) from error


@cache
def _interpreter() -> _Interpreter:
    return _Interpreter()


class _Printed:
    """Keeps the first ``MAX_PRINTED`` characters of what the code prints."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = MAX_PRINTED
        self._cut = False

    def __call__(self, stream: str, text: str) -> None:
        self._cut = self._cut or len(text) > self._room
        if self._room > 0:
            self._parts.append(text[: self._room])
            self._room -= len(self._parts[-1])

    def text(self) -> str:
        return "".join(self._parts) + ("… (the rest is cut off)" if self._cut else "")


def _plain(value: Any, room: Iterator[int], text_room: list[int], depth: int = 0) -> Any:
    """The value as JSON-like data, walked within bounds: a small value may show parts of itself a million times."""
    if depth > MAX_DEPTH or next(room, None) is None:
        raise BlockError("The result is too large or too deeply nested.", fix="Let the code give a smaller result.")
    if isinstance(value, str):
        text_room[0] -= len(value)
        if text_room[0] < 0:
            raise BlockError(f"The result has more than {MAX_TEXT:,} characters.", fix="Let the code give less text.")
        return value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_key(key): _plain(each, room, text_room, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, room, text_room, depth + 1) for each in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise BlockError(
        f"The result holds a {type(value).__name__}, which cannot be passed on.",
        fix="Let the code give text, numbers, lists and objects.",
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int | float | date):
        return str(key)
    raise BlockError("The result has an object whose keys are not text.", fix="Use text as keys.")


BLOCKS = (run_python,)
