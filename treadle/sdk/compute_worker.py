"""The worker process of ``treadle.sdk.compute``: runs one named function at a time on JSON-like arguments.

Started as a script with an isolated interpreter, so that it imports nothing of the platform but the module of the
function it is asked for. Frames are a 4-byte big-endian length and a msgpack array, on stdin and stdout:

    ["load", function]                              -> [true, null, 0]
    ["call", function, arguments, seconds, bytes]   -> [true, value, grown] | [false, message, fix, is_limit]

``grown`` is by how many bytes the process is larger than it was after loading.
"""

import contextlib
import importlib
import math
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

if sys.platform != "win32":  # Windows has no such limits: there only the time limit of the parent holds
    import resource

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_OPEN_FILES = 64
_FORBIDDEN_EVENTS = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.startfile")


def leave_network() -> bool:
    """Move this process into a network namespace of its own, without any interface (Linux, where it is permitted)."""
    if sys.platform != "linux":
        return False
    import ctypes  # noqa: PLC0415

    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return bool(unshare(_CLONE_NEWNET) == 0 or unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(_FORBIDDEN_EVENTS):
        raise PermissionError("no network and no other programs in a compute worker")


def confine() -> None:
    """Give up, for good, what no function needs: the network, other programs, writing files, core dumps, many files."""
    leave_network()
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.nice(5)  # the server's event loop comes first
        for name, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, _OPEN_FILES),
            (resource.RLIMIT_NPROC, 0),
        ):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(name, (limit, limit))
    sys.addaudithook(_refuse)


class Limits:
    """Processor time and memory of one call, on top of what the process has used so far."""

    def __init__(self) -> None:
        self._statm = -1
        with contextlib.suppress(OSError):
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)

    def size(self) -> int:
        """Bytes of address space; 0 where the system does not tell."""
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 64, 0).split()[0]) * os.sysconf("SC_PAGESIZE")

    def set(self, seconds: float, memory: int) -> None:
        """Allow one call so much. The processor's limit ends the process; the memory's raises ``MemoryError``."""
        if sys.platform == "win32":
            return
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds) + 1, hard))
        if size := self.size():
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (size + memory, hard))

    def lift_memory(self) -> None:
        """Let the answer be written."""
        if sys.platform != "win32":
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


class Worker:
    """Answers requests, one after another."""

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}
        self._limits = Limits()
        self._base = 0

    def answer(self, request: list[Any]) -> bytes:
        """The answer to one request, encoded."""
        kind, name, *rest = request
        if kind == "load":
            return self._load(name)
        arguments, seconds, memory = rest
        return self._call(name, arguments, seconds, memory)

    def _load(self, name: str) -> bytes:
        module, _, function = name.partition(":")
        self._functions[name] = getattr(importlib.import_module(module), function)
        self._base = self._limits.size()
        return msgspec.msgpack.encode([True, None, 0])

    def _call(self, name: str, arguments: list[Any], seconds: float, memory: int) -> bytes:
        try:
            self._limits.set(seconds, memory)
            try:
                answer = self._functions[name](*arguments)
                encoded = msgspec.msgpack.encode([True, answer, max(0, self._limits.size() - self._base)])
            finally:
                self._limits.lift_memory()
        except MemoryError:
            return msgspec.msgpack.encode([False, "", "", True])
        except Exception as error:  # noqa: BLE001 - the edge of the process: every failure becomes an answer
            return msgspec.msgpack.encode([False, *describe(error), False])
        return encoded


def describe(error: Exception) -> tuple[str, str]:
    """Message and remedy; of errors that are not the platform's own, the type too."""
    fix = getattr(error, "fix", None)
    text = str(error) if isinstance(fix, str) else f"{type(error).__name__}: {error}"
    return _clean(text), _clean(fix if isinstance(fix, str) else "")


def _clean(text: str) -> str:
    return text[:2000].encode("utf-8", "replace").decode("utf-8")


def _read(stream: int, count: int) -> bytes:
    """Exactly ``count`` bytes; ends the process when the parent has gone."""
    data = bytearray()
    while len(data) < count:
        piece = os.read(stream, count - len(data))
        if not piece:
            raise SystemExit(0)
        data += piece
    return bytes(data)


def serve(source: int, sink: int) -> NoReturn:
    """Answer requests until the parent closes ``source``."""
    worker = Worker()
    while True:
        (length,) = struct.unpack(">I", _read(source, 4))
        encoded = worker.answer(msgspec.msgpack.decode(_read(source, length)))
        view = memoryview(struct.pack(">I", len(encoded)) + encoded)
        while view:
            view = view[os.write(sink, view) :]


def import_from(folder: str) -> None:
    """Find the platform where the parent has it: before any that is installed, after Python's own modules."""
    installed = (place for place, path in enumerate(sys.path) if path.endswith("site-packages"))
    sys.path.insert(next(installed, len(sys.path)), folder)


def main() -> None:
    """Take stdin and stdout for frames, so that nothing that a function prints gets between them; then serve."""
    import_from(sys.argv[1])
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    confine()
    serve(source, sink)


if __name__ == "__main__":
    main()
