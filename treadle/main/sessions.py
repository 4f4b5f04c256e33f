"""The settings and logs of one command, and a platform to look at."""

import asyncio
import atexit
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar
from uuid import UUID

from treadle.base.config import Settings, load_settings
from treadle.base.errors import BadInput
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.base.logging import configure_logging
from treadle.base.paths import ensure_folder

if TYPE_CHECKING:
    from treadle.engine.store import ExecutionRow
    from treadle.main.wiring import Platform

T = TypeVar("T")

_LARGEST_LOG = 5_000_000
_LOOKED_AT = 200
_streams: dict[Path, TextIO] = {}


def log_file(settings: Settings) -> Path:
    """Where commands write their log."""
    return settings.home / "logs" / "treadle.log"


def settings_of_person() -> Settings:
    """The settings, with logs in the data folder: the terminal is for what the person asked for."""
    settings = load_settings()
    file = log_file(settings)
    ensure_folder(settings.home, home_mode())
    ensure_folder(file.parent)
    if file not in _streams and file.exists() and file.stat().st_size > _LARGEST_LOG:
        file.replace(file.with_suffix(".log.1"))
    configure_logging(settings, _stream(file))
    return settings


def _stream(file: Path) -> TextIO:
    """The open log, once per process; every record is flushed."""
    if file not in _streams:
        _streams[file] = file.open("a", encoding="utf-8")
        atexit.register(_streams[file].close)
    return _streams[file]


def home_mode() -> int:
    """The mode of a new data folder: as root, PostgreSQL's own user must be able to pass through it."""
    return 0o711 if sys.platform != "win32" and os.geteuid() == 0 else 0o700


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest loop that there is."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 (not on Windows)

    return uvloop.run(work)


@contextlib.asynccontextmanager
async def looking_platform() -> AsyncIterator["Platform"]:
    """A platform that runs nothing: to look at runs and to tell them things."""
    from treadle.main.wiring import running_platform  # noqa: PLC0415

    async with running_platform(settings_of_person(), works=False) as platform:
        yield platform


async def find_execution(platform: "Platform", named: str) -> "ExecutionRow":
    """The run that a person means: an id, the beginning or the end of one, or ``last``.

    Raises:
        BadInput: none of the newest runs fits, or several do.
        NotFound: there is no run of that id.
    """
    with contextlib.suppress(ValueError):
        return await platform.executions.get(LOCAL_WORKSPACE, ExecutionId(UUID(named)))
    from treadle.features.executions.listing import RunFilter  # noqa: PLC0415 (once a run is looked for)

    limit = 1 if named == "last" else _LOOKED_AT
    rows = await platform.executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=limit)
    if named == "last":
        fitting = rows
    else:
        wanted = named.lower().replace("-", "")
        fitting = [row for row in rows if row.id.hex.startswith(wanted) or row.id.hex.endswith(wanted)]
    if len(fitting) == 1:
        return await platform.executions.get(LOCAL_WORKSPACE, ExecutionId(fitting[0].id))
    if not fitting:
        raise BadInput(f"There is no run {named}.", fix="`treadle list` shows the latest runs.")
    raise BadInput(f"{named} fits {len(fitting)} runs.", fix="Give more of the id; `treadle list` shows the whole ids.")
