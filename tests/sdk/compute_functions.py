"""What the tests of the compute pool run in its workers, well-behaved and hostile."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from treadle.sdk.errors import BlockError

KEPT: list[bytes] = []


def add(left: int, right: int) -> int:
    return left + right


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def spin() -> None:
    while True:
        pass


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


def power_tower() -> int:
    return len(str(9**9**9))  # one step of the interpreter: no signal handler or thread would ever get a turn


def eat(megabytes: int) -> int:
    return len(bytearray(megabytes << 20))


def keep(megabytes: int) -> int:
    KEPT.append(b"x" * (megabytes << 20))
    return os.getpid()


def big_answer(megabytes: int) -> str:
    return "x" * (megabytes << 20)


def raise_plain() -> None:
    raise KeyError("colour")


def raise_block_error() -> None:
    raise BlockError("the table has no header", fix="add one")


def die() -> None:
    os._exit(3)


def chatter() -> str:
    print("this must not get between the frames")
    sys.stderr.write("nor this\n")
    os.write(1, b"nor this")
    return "said"


def unencodable() -> object:
    return object()


def surroundings() -> dict[str, Any]:
    return {"env": sorted(os.environ), "files": os.listdir(), "cwd": str(Path.cwd())}  # noqa: PTH208


def write_file() -> None:
    Path("left-behind.txt").write_text("x" * 10)


def open_socket(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return "connected"


def start_program() -> int:
    return subprocess.run([sys.executable, "-c", ""], check=False).returncode


def fork() -> int:
    return os.fork()
