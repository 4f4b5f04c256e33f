"""Processes that can be killed, for work on hostile data: templates, patterns, parsers, spreadsheets.

What holds a call: its wall time (the parent kills the worker), its processor time and address space (the kernel's
limits), no environment, an empty working directory, no writing of files, no child processes, no network. Where it
holds: time, environment and directory on every system; the other limits on POSIX, address space on Linux only. The
network is taken away by a network namespace where Linux permits one (root, or unprivileged user namespaces); elsewhere
an audit hook refuses sockets and programs to Python code. The functions are the platform's own and named in an
allow-list: this bounds what data can do to them, and is no place for code that a person or a model wrote.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import msgspec

import treadle
from treadle.sdk.errors import BlockError, RetryLater

START_SECONDS = 30.0
"""How long a worker may take to start and to load a function's module."""

MAX_FRAME = 64 * 1024 * 1024
"""The most bytes of a call's arguments, or of its result."""

_SPARE_SECONDS = 5.0
_MAX_GROWTH = 32 * 1024 * 1024


class ComputeFailed(BlockError):
    """The function raised, or its arguments or result cannot be passed between processes."""

    code: ClassVar[str] = "compute_failed"


class ComputeLimit(BlockError):
    """The call passed its limit of time or memory, and was ended."""

    code: ClassVar[str] = "compute_limit"


class _Worker:
    """One process. Used by one call at a time; after any trouble it is killed, never used again."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._loaded: set[str] = set()
        self.worn = False
        self.expiry: asyncio.TimerHandle | None = None

    async def call(self, function: str, arguments: bytes, seconds: float, memory: int) -> Any:
        if function not in self._loaded:
            await self._exchange(msgspec.msgpack.encode(["load", function]), START_SECONDS)
            self._loaded.add(function)
        answer = await self._exchange(_request(function, arguments, seconds, memory), seconds)
        if answer[0]:
            self.worn = answer[2] > _MAX_GROWTH
            return answer[1]
        _, message, fix, is_limit = answer
        if is_limit:
            self.worn = True
            raise ComputeLimit(f"{_short(function)} needs more than {memory >> 20} MB of memory", fix=_SMALLER)
        raise ComputeFailed(message, fix=fix)

    async def _exchange(self, frame: bytes, seconds: float) -> list[Any]:
        self.worn = True  # until the answer is complete
        try:
            async with asyncio.timeout(seconds):
                self._stdin.write(struct.pack(">I", len(frame)) + frame)
                await self._stdin.drain()
                (length,) = struct.unpack(">I", await self._stdout.readexactly(4))
                if length > MAX_FRAME:
                    raise ComputeLimit(f"the result has more than {MAX_FRAME >> 20} MB", fix=_SMALLER)
                answer: list[Any] = msgspec.msgpack.decode(await self._stdout.readexactly(length))
        except TimeoutError:
            raise ComputeLimit(f"it took longer than {seconds:g} s", fix=_SMALLER) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise self._death(await self.end()) from None
        self.worn = False
        return answer

    def _death(self, code: int) -> BlockError:
        if code == -getattr(signal, "SIGXCPU", 0):
            return ComputeLimit("it used up its processor time", fix=_SMALLER)
        if code == -getattr(signal, "SIGKILL", 0):
            return ComputeLimit("it was ended, probably for want of memory", fix=_SMALLER)
        return ComputeFailed("the worker process broke down over this input", fix="change the input")

    def kill(self) -> None:
        """End the process at once; ``end`` must follow."""
        if self.expiry is not None:
            self.expiry.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> int:
        """Kill the process, wait until it has gone and its pipes are closed; its exit code."""
        self.kill()
        await self._process.communicate()
        return self._process.returncode or 0


_SMALLER = "use a smaller or simpler input"


def _short(function: str) -> str:
    return function.rpartition(":")[2]


def _request(function: str, arguments: bytes, seconds: float, memory: int) -> bytes:
    call = ["call", function, msgspec.Raw(arguments), seconds, memory]
    return msgspec.msgpack.encode(call)


def _encode(function: str, arguments: tuple[Any, ...]) -> bytes:
    try:
        encoded = msgspec.msgpack.encode(arguments)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ComputeFailed(f"the arguments of {_short(function)} cannot be passed on ({error})") from None
    if len(encoded) > MAX_FRAME:
        raise ComputeLimit(f"the input has more than {MAX_FRAME >> 20} MB", fix=_SMALLER)
    return encoded


class ComputePool:
    """Worker processes, started when needed; satisfies ``treadle.sdk.context.Compute``.

    ``functions`` are all that may be called, as ``package.module:function``. At most ``workers`` run at once (default:
    one per core) and ``waiting`` calls wait for one. One idle worker is kept warm for ``idle_seconds``, others for a
    few. Close it with ``aclose`` or ``async with``.
    """

    def __init__(
        self,
        functions: Collection[str],
        *,
        workers: int | None = None,
        waiting: int = 1000,
        idle_seconds: float = 60.0,
    ) -> None:
        self._functions = frozenset(functions)
        self._workers = workers or os.cpu_count() or 1
        self._slots = asyncio.Semaphore(self._workers)
        self._room = self._workers + waiting
        self._idle_seconds = idle_seconds
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._ending: set[asyncio.Task[int]] = set()
        self._directory: str | None = None
        self._closed = False

    async def __aenter__(self) -> "ComputePool":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def processes(self) -> int:
        """How many worker processes there are."""
        return len(self._all)

    async def call(self, function: str, *args: Any, seconds: float = 1.0, megabytes: int = 64) -> Any:
        """Run a function in a worker; waiting for a free worker and loading the module do not count as its time.

        Raises:
            ComputeFailed: the function is not in the allow-list, raised, or took or gave what cannot be passed on.
            ComputeLimit: it passed ``seconds`` (wall and processor time) or ``megabytes`` (above the idle size).
            RetryLater: too many calls are waiting.
        """
        if function not in self._functions:
            raise ComputeFailed(f"{function} may not be run in a worker", fix="add it to the pool's allow-list")
        if self._room <= 0:
            raise RetryLater("too many calculations are waiting", fix="try again later", retry_after=1.0)
        arguments = _encode(function, args)
        self._room -= 1
        try:
            async with self._slots:
                self._check_open()
                worker = self._take() or await self._start()
                try:
                    self._check_open()
                    return await worker.call(function, arguments, seconds, megabytes << 20)
                except asyncio.CancelledError:
                    worker.worn = True
                    raise
                finally:
                    self._give_back(worker)
        finally:
            self._room += 1

    async def aclose(self) -> None:
        """End every worker, busy ones too, and remove the working directory."""
        self._closed = True
        for worker in self._all:
            worker.kill()  # the caller of a busy one sees the end, and retires it
        async with contextlib.AsyncExitStack() as slots:
            for _ in range(self._workers):
                await slots.enter_async_context(self._slots)  # when all are had, nobody starts or uses one any more
        while self._idle:
            self._retire(self._idle.pop())
        await asyncio.gather(*self._ending)
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            self._directory = None

    def _check_open(self) -> None:
        if self._closed:
            raise RetryLater("the server is closing", fix="try again later")

    def _take(self) -> _Worker | None:
        if not self._idle:
            return None
        worker = self._idle.pop()
        if worker.expiry is not None:
            worker.expiry.cancel()
            worker.expiry = None
        return worker

    async def _start(self) -> _Worker:
        try:
            process = await self._spawn()
        except OSError as error:
            raise RetryLater(f"no worker process can be started ({error.strerror})", fix="try again later") from None
        worker = _Worker(process)
        self._all.add(worker)
        return worker

    async def _spawn(self) -> asyncio.subprocess.Process:
        package = Path(treadle.__file__).parent
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(package / "sdk" / "compute_worker.py"), str(package.parent)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._scratch(),
            env={},
            start_new_session=True,
        )

    def _scratch(self) -> str:
        """The workers' empty directory; made anew when a cleaner of temporary files has removed it."""
        if self._directory is None or not Path(self._directory).is_dir():
            self._directory = tempfile.mkdtemp(prefix="treadle-compute-")
        return self._directory

    def _give_back(self, worker: _Worker) -> None:
        if worker.worn or self._closed:
            self._retire(worker)
            return
        keep = _SPARE_SECONDS if self._idle else self._idle_seconds
        worker.expiry = asyncio.get_running_loop().call_later(min(keep, self._idle_seconds), self._expire, worker)
        self._idle.append(worker)

    def _expire(self, worker: _Worker) -> None:
        self._idle.remove(worker)
        self._retire(worker)

    def _retire(self, worker: _Worker) -> None:
        """Kill now; the rest of the ending needs the event loop and is awaited by ``aclose`` at the latest."""
        if worker not in self._all:
            return
        self._all.discard(worker)
        worker.kill()
        task = asyncio.ensure_future(worker.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
