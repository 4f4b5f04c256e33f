"""``treadle up``: database, worker and HTTP server in one process, on one event loop."""

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from treadle.base.config import Settings, load_settings
from treadle.base.errors import TreadleError
from treadle.base.logging import configure_logging, mask_secret
from treadle.base.migrations import release
from treadle.base.paths import ensure_folder
from treadle.main.connections import MOST_CONNECTIONS, WAITING_CONNECTIONS, allow_connections
from treadle.main.instance import check_port, reachable, server_url, start_token, the_only_server
from treadle.main.production import check_secrets
from treadle.main.sessions import home_mode, run_async
from treadle.main.terminal import err, out, program

if TYPE_CHECKING:
    from treadle.web.site import Site

_CLOSE_SECONDS = 5.0
_log = logging.getLogger(__name__)


def serve(host: str | None, port: int | None) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        TreadleError: the server cannot start; in one sentence with what to do.
    """
    begun = time.monotonic()
    settings = load_settings(**{name: value for name, value in (("host", host), ("port", port)) if value is not None})
    ensure_folder(settings.home, home_mode())
    configure_logging(settings)
    check_secrets(settings)
    _tell_start("Treadle", settings)
    allow_connections()
    # In production nothing but an account opens the door.
    token = start_token(settings.home) if settings.environment == "local" else None
    mask_secret(token or "")
    url = server_url(settings)
    with the_only_server(settings.home, url):
        check_port(settings.host, settings.port)
        with _early_database(settings):
            run_async(_serve(settings, token, url, begun))


def _tell_start(what: str, settings: Settings) -> None:
    """Say to whoever looks that something begins, before the log does."""
    if sys.stderr.isatty():
        is_first = settings.embedded_database and not (settings.home / "postgres").exists()
        more = "; the first start makes the database, which takes some seconds" if is_first else ""
        err().print(f"Starting {what}{more} …", style="dim")


@contextlib.contextmanager
def _early_database(settings: Settings) -> Iterator[None]:
    """Start the embedded PostgreSQL while Python still loads the rest, which takes about as long.

    What goes wrong is told by the proper start, which comes next and attaches to this server.
    """
    if not settings.embedded_database:
        yield
        return
    from treadle.base.postgres import EmbeddedPostgres  # noqa: PLC0415 (needs Unix)

    server = EmbeddedPostgres(settings.home)

    def start() -> None:
        with contextlib.suppress(TreadleError, OSError):
            server.start()

    thread = threading.Thread(target=start, name="early-postgres")
    thread.start()
    try:
        yield
    finally:
        thread.join()
        server.stop()


async def _serve(settings: Settings, token: str | None, url: str, begun: float) -> None:
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415 (while the database starts)
    from granian.server.embed import Server  # noqa: PLC0415

    from treadle.main.people import told_of_changes  # noqa: PLC0415
    from treadle.main.site import edge_of, site_of  # noqa: PLC0415
    from treadle.main.wiring import running_platform  # noqa: PLC0415
    from treadle.web.app import make_app  # noqa: PLC0415

    stopped = _stop_signal()
    async with running_platform(settings) as platform, contextlib.AsyncExitStack() as stack:
        edge = edge_of(settings)
        site = site_of(platform, token, url)
        await stack.enter_async_context(told_of_changes(platform, site))
        app = make_app(site, edge)
        server = Server(
            app,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            websockets=True,
            backlog=WAITING_CONNECTIONS,
            backpressure=MOST_CONNECTIONS,  # else 128 of them, such as streams of events, leave room for no other
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve(), name="http-server")
        try:
            await _until_answering(settings, serving)
            _greet(settings, url, token, time.monotonic() - begun)
            late = asyncio.create_task(_start_the_rest(site), name="late-start")
            late.add_done_callback(_log_failure)
            backlog = asyncio.create_task(site.search.backlog.run(), name="embeddings")
            stack.callback(late.cancel)
            stack.callback(backlog.cancel)
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            _log.info("Stopping; what runs goes on at the next start")
        finally:
            await site.visitors.close()
            server.stop()  # type: ignore[no-untyped-call]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(serving, _CLOSE_SECONDS)
            if edge.tracer is not None:
                await asyncio.to_thread(edge.tracer.close)


async def _start_the_rest(site: "Site") -> None:
    """What the first answers need not wait for: SQLAlchemy takes most of a second to load, so a thread does it."""
    from treadle.main.wiring import tune_garbage_collector  # noqa: PLC0415

    await asyncio.to_thread(importlib.import_module, "treadle.features.accounts.repository")
    tune_garbage_collector()
    _tell_setup(await site.door.setup.link())
    await site.catalogue.get()  # before anybody asks for it


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("What starts after the server has failed; the server goes on.", exc_info=error)


async def _until_answering(settings: Settings, serving: "asyncio.Task[None]") -> None:
    """Wait until the server takes connections."""
    while not serving.done():
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(reachable(settings.host), settings.port)
            writer.close()
            return
        await asyncio.sleep(0.005)
    await serving


def _stop_signal() -> "asyncio.Future[None]":
    """Done at the first Ctrl-C or SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop)
    return stopped


def _greet(settings: Settings, url: str, token: str | None, seconds: float) -> None:
    console = out()
    console.print(f"Treadle {release()} is running at {url} (started in {seconds:.1f} s)", style="bold green")
    if token is not None:
        console.print(f"  Token    {token}")
        console.print(f"           (also in {settings.home / 'token'})", style="dim")
    console.print(f"  API      {url}/docs (Authorize takes the token)" if token else f"  API      {url}/docs")
    console.print(f"  Data     {settings.home}")
    console.print("Ctrl-C stops it; what runs goes on at the next start.", style="dim")
    if settings.host not in ("127.0.0.1", "localhost", "::1") and not settings.public_url and token is not None:
        err().print("It can be reached from other machines: whoever has the token can use it.", style="yellow")


def _tell_setup(link: str | None) -> None:
    """Show how to make the first account, while there is none. The link is good once, and nowhere else."""
    if link is not None:
        mask_secret(link.partition("=")[2])
        out().print(f"  Set up   {link}", style="bold")
        out().print(f"           makes the first account; {program()} setup-link prints another link.", style="dim")


def work() -> None:
    """``treadle executor``: one more worker on the same database, until Ctrl-C or SIGTERM."""
    settings = load_settings()
    ensure_folder(settings.home, home_mode())
    configure_logging(settings)
    check_secrets(settings)
    _tell_start("a worker", settings)
    run_async(_work(settings))


async def _work(settings: Settings) -> None:
    from treadle.main.wiring import running_platform, tune_garbage_collector  # noqa: PLC0415

    stopped = _stop_signal()
    async with running_platform(settings) as platform:
        tune_garbage_collector()
        out().print(f"Worker {platform.worker.id} runs what is queued. Ctrl-C stops it and gives back what it runs.")
        await stopped
    out().print("Stopped.")
