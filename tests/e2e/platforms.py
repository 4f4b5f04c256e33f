"""Whole platforms for tests: their own data folder, database and worker, as a fresh install has them."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import isolated_settings
from treadle.base.ids import LOCAL_WORKSPACE, GraphId
from treadle.engine.store import ExecutionRow
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.main.wiring import Platform, running_platform


@contextlib.asynccontextmanager
async def fresh_platform(*, works: bool = True) -> AsyncIterator[Platform]:
    """A platform with default settings in an empty data folder, which goes with it; its worker runs unless told not."""
    with new_home() as home, pytest.MonkeyPatch.context() as environment:
        async with running_platform(isolated_settings(home, environment), works=works) as platform:
            yield platform


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    """An empty data folder. Not below pytest's own: as root PostgreSQL's user could not enter that."""
    home = Path(tempfile.mkdtemp(prefix="treadle-"))
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    yield home
    shutil.rmtree(home)


def agent_in(file: Path) -> AgentFile:
    """The agent of an agent file."""
    return read_agent_file(file.read_bytes(), name=file.name)


async def run_file(platform: Platform, file: Path, inputs: Mapping[str, Any] | None = None) -> ExecutionRow:
    """Import an agent file, run it, and wait until it is over or waits for a person."""
    row = await platform.graphs.save(LOCAL_WORKSPACE, agent_in(file))
    started = await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), inputs or {})
    return await platform.worker.finished(LOCAL_WORKSPACE, started, resting=True)


def outputs_of(run: ExecutionRow) -> dict[str, Any]:
    """The outputs of a run by name; of one that was sent several times the list of its values."""
    values: dict[str, list[Any]] = {}
    for name, value in run.outputs:
        values.setdefault(name, []).append(value)
    return {name: each[0] if len(each) == 1 else each for name, each in values.items()}
