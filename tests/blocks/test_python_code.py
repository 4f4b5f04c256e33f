"""Python code of users: what it can do, and what it cannot reach or use up."""

from collections.abc import Mapping
from typing import Any

import pytest

from treadle.blocks.python_code import MAX_PRINTED, run_python
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


async def outcome(code: str, values: Mapping[str, Any] | None = None, **limits: Any) -> tuple[Any, str]:
    (_, result), (_, printed) = await run_block(run_python, {"code": code, "inputs": dict(values or {}), **limits})
    return result, printed


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("", None),
        ("1 + 1", 2),
        ("result = 3", 3),
        ("result = 3\n4", 4),
        ("(1, {2}, None, 'x')", [1, [2], None, "x"]),
        ("{1: 'a', None: 'b', 1.5: 'c'}", {"1": "a", "null": "b", "1.5": "c"}),
        ("import datetime\ndatetime.date(2026, 1, 2)", "2026-01-02"),
        ("import json\njson.loads('[1]')", [1]),
        ("sorted(words, key=len)[0]", "be"),
    ],
)
async def test_results(code: str, result: Any) -> None:
    assert (await outcome(code, {"words": ["three", "be"]}))[0] == result


async def test_printed_text_is_kept_up_to_a_point() -> None:
    assert (await outcome("print('a')\nprint('b')"))[1] == "a\nb\n"
    printed = (await outcome("print('x' * 1000000)"))[1]
    assert printed.startswith("x" * MAX_PRINTED)
    assert len(printed) < MAX_PRINTED + 100


async def test_runs_share_nothing() -> None:
    await outcome("kept = 1")
    with pytest.raises(BlockError, match="NameError"):
        await outcome("kept")


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')",
        "import os\nos.environ['PATH']",
        "import os\nos.system('id')",
        "import socket",
        "import subprocess",
        "import ctypes",
        "__import__('os').system('id')",
        "().__class__.__mro__[1].__subclasses__()",
        "(lambda: 0).__globals__",
        "(lambda: 0).__code__",
        "eval(\"open('/etc/passwd')\")",
        "compile('1', '', 'eval')",
        "'{0.__class__.__init__.__globals__}'.format(1)",
        "import pathlib\npathlib.Path('/etc/passwd').read_text()",
        "import time\ntime.sleep(60)",
        "globals()['__builtins__']",
        "[].__reduce__()",
        "def f():\n    return f.__globals__\nf()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    result = e.__traceback__.tb_frame",
        "(x for x in [1]).gi_frame",
        "class A:\n    pass\nA()",
        "lambda: 0\nprint.__self__",
    ],
)
async def test_nothing_outside_can_be_reached(code: str) -> None:
    with pytest.raises(BlockError):
        await outcome(code)


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "x = []\nwhile True: x.append('a' * 100000)",
        "'a' * 10**12",
        "9 ** 9 ** 9",
        "def f(n): return f(n + 1)\nf(0)",
        "while True: print('x' * 1000)",
        "x = [1] * 1000\ny = [x] * 1000\n[y] * 1000",
        "x = ['a' * 10**6] * 1000\nx",
        "x = []\nfor i in range(100000): x = [x]\nx",
    ],
)
async def test_limits(code: str) -> None:
    with pytest.raises(BlockError):
        await outcome(code, seconds=0.3, megabytes=32)
    assert await outcome("1") == (1, "")


@pytest.mark.parametrize("name", ["1a", "a b", "class", "a.b", ""])
async def test_names_that_are_no_variables(name: str) -> None:
    with pytest.raises(BlockError, match="inputs"):
        await outcome("1", {name: 1})


async def test_the_message_shows_where_the_code_failed() -> None:
    with pytest.raises(BlockError, match="line 2") as failure:
        await outcome("x = 1\nx / 0")
    assert "ZeroDivisionError" in failure.value.message
    with pytest.raises(BlockError, match=r"(?i)syntax|expected"):
        await outcome("def f(:")
