"""What the scaffolds write works at once and passes the checks."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest

import treadle.integrations
from tests.integrations.replay import context_for, inputs_of
from treadle.base.errors import BadInput, Conflict
from treadle.integrations.catalogue import load_blocks, load_manifest, providers
from treadle.integrations.recordings import recordings
from treadle.main.scaffold import NewIntegration, new_block, new_integration
from treadle.sdk.testing import attempt, check_example

ROOT = Path(__file__).resolve().parents[2]
ACME = NewIntegration(
    name="acme_crm",
    title='Acme "CRM" Ünit',
    base_url="https://api.acme.example/v1",
    docs="https://acme.example/docs",
    obtain="https://acme.example/keys",
)


def fixed_id() -> UUID:
    return UUID(int=7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that looks like a checkout."""
    (tmp_path / "treadle" / "blocks").mkdir(parents=True)
    (tmp_path / "treadle" / "blocks" / "catalogue.py").touch()
    return tmp_path


@pytest.fixture
def checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout whose integrations are seen beside those of Treadle."""
    folder = root / "treadle" / "integrations"
    monkeypatch.setattr(treadle.integrations, "__path__", [*treadle.integrations.__path__, str(folder)])
    yield root
    for name in [name for name in sys.modules if name.startswith("treadle.integrations.acme_crm")]:
        del sys.modules[name]


def ruff(*arguments: str, folder: Path) -> None:
    config = f"--config={ROOT / 'pyproject.toml'}"
    command = [sys.executable, "-m", "ruff", *arguments, config, "--no-cache", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_new_integration_replays_its_recording(checkout: Path) -> None:
    new_integration(checkout, ACME, fixed_id)
    assert "acme_crm" in providers()
    manifest = load_manifest("acme_crm")
    assert manifest.title == ACME.title and manifest.hosts == ("api.acme.example",)
    (block,) = load_blocks("acme_crm")
    assert (block.name, block.id) == ("AcmeCrmGetItemBlock", str(UUID(int=7)))
    (case,) = recordings("acme_crm")["AcmeCrmGetItemBlock"]
    context, http = context_for(manifest, case)
    outcome = await attempt(block, inputs_of(manifest, case), context)
    assert outcome.error is None and outcome.outputs == case.outputs
    assert [each.url for each in http.seen] == [each.url for each in case.exchanges]


async def test_a_new_block_runs_its_example(root: Path) -> None:
    made = new_block(root, "shouting", "ShoutTextBlock", fixed_id)
    (block,) = loaded(made.files[0]).BLOCKS
    assert block.name == "ShoutTextBlock" and block.title == "Shout Text"
    await check_example(block, block.examples[0])
    assert any("catalogue.py" in step for step in made.next_steps)


def test_what_is_written_is_in_form(root: Path) -> None:
    new_integration(root, ACME, fixed_id)
    new_block(root, "shouting", "ShoutText", fixed_id)
    ruff("check", "--config", 'lint.isort.known-first-party=["treadle"]', folder=root)
    ruff("format", "--check", folder=root)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Acme"},
        {"name": "../acme"},
        {"name": "class"},
        {"name": ""},
        {"base_url": "http://api.acme.example"},
        {"base_url": "https://api.acme.example/"},
        {"docs": "acme.example"},
        {"variable": "acme key"},
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(root: Path, change: dict[str, str]) -> None:
    with pytest.raises(BadInput) as caught:
        new_integration(root, replace(ACME, **change))
    assert caught.value.fix and [each.name for each in (root / "treadle").iterdir()] == ["blocks"]


def test_nothing_is_overwritten(root: Path) -> None:
    new_integration(root, ACME)
    with pytest.raises(Conflict, match="already there"):
        new_integration(root, ACME)
    new_block(root, "shouting", "ShoutText")
    with pytest.raises(Conflict):
        new_block(root, "shouting", "Whisper")


@pytest.mark.parametrize("name", ["shoutText", "Shout Text", "Block", "Shout-Text"])
def test_a_block_needs_a_proper_name(root: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no name for a block"):
        new_block(root, "shouting", name)


def test_outside_of_a_checkout_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no checkout"):
        new_block(tmp_path, "shouting", "ShoutText")
    with pytest.raises(BadInput, match="no checkout"):
        new_integration(tmp_path, ACME)
    assert not list(tmp_path.iterdir())
