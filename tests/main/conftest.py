"""What tests of commands share: an install, and a way to call commands in this process."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.main.installs import running_install
from treadle.main.cli import app


@pytest.fixture(scope="session")
def install() -> Iterator[Path]:
    """A data folder with a running, migrated database, shared by the tests of this process."""
    with running_install() as home:
        yield home


@dataclass(frozen=True, slots=True)
class Called:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which must be one JSON value and nothing else."""
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings from outside, an empty working folder, and logging as it was."""
    for name in list(os.environ):
        if name.startswith(("TREADLE_", "DATABASE_", "LOG_")) or name in ("PUBLIC_URL", "OPENAI_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
    for handler in before:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def bare(clean: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Calls a command where there is no database, and none may be made."""
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "home"))
    return _call


@pytest.fixture
def treadle(clean: None, monkeypatch: pytest.MonkeyPatch, install: Path) -> Call:
    """Calls a command on the shared install."""
    monkeypatch.setenv("TREADLE_HOME", str(install))
    return _call


def _call(*arguments: str, given: bytes | None = None) -> Called:
    result = CliRunner().invoke(app, list(arguments), input=given)
    return Called(result.exit_code, result.stdout, result.stderr)
