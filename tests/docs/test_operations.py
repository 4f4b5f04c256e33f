"""The backup script of docs/operations.md brings back what it has saved, and nothing later."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_snippets import ROOT, program
from tests.e2e.platforms import run_file
from treadle.base.config import Settings
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.features.executions.listing import RunFilter
from treadle.main.wiring import running_platform

EXAMPLE = ROOT / "examples" / "sales-report.json"


@pytest.fixture
def script(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's snippets define, at work on a data folder of this test's own."""
    monkeypatch.setenv("TREADLE_HOME", str(settings.home))
    file = tmp_path / "backup.py"
    file.write_text(program((ROOT / "docs" / "operations.md").read_text(encoding="utf-8")), encoding="utf-8")
    return runpy.run_path(str(file))


def test_a_restored_backup_holds_the_runs_before_it(settings: Settings, script: dict[str, Any]) -> None:
    first = asyncio.run(run_once(settings))
    dump = script["backup"]()
    assert dump.parent == settings.home / "backups"
    second = asyncio.run(run_once(settings))
    assert asyncio.run(runs_of(settings)) == [second, first]
    script["restore"](dump)
    assert asyncio.run(runs_of(settings)) == [first]
    assert asyncio.run(run_once(settings)) not in (first, second), "and it goes on from there"


async def run_once(settings: Settings) -> str:
    async with running_platform(settings) as platform:
        return str((await run_file(platform, EXAMPLE)).id)


async def runs_of(settings: Settings) -> list[str]:
    async with running_platform(settings) as platform:
        return [str(row.id) for row in await platform.executions.lists.page(LOCAL_WORKSPACE, RunFilter(), limit=50)]
