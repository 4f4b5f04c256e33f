"""What the documentation names is there: files, pages, commands, settings, and the output that the README shows."""

import re
from pathlib import Path

import pytest
import typer

from tests.docs.test_snippets import ROOT
from tests.examples.test_examples import REPORT
from treadle.base.config import variable_names
from treadle.main.cli import app

PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED_FILE = re.compile(r"`((?:treadle|tests|docs|examples|migrations|benchmarks|checks|scripts)/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"`(?:\.venv/bin/)?treadle ([a-z][a-z-]*)")
VARIABLE = re.compile(r"`((?:TREADLE|DATABASE|LOG)_[A-Z_]+|PUBLIC_URL)")
MADE_UP = {"treadle/blocks/shouting.py", "examples/AcmeListOrdersBlock.json", "benchmarks/latest.json"}
"""What a page tells people how to make."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_files_are_there(page: Path) -> None:
    named = set(NAMED_FILE.findall(page.read_text(encoding="utf-8"))) - MADE_UP
    assert {name for name in named if not (ROOT / name).exists()} == set()


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_commands_and_settings_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(COMMAND.findall(text)) <= commands
    assert set(VARIABLE.findall(text)) <= set(variable_names().values())


def test_the_readme_shows_what_the_example_gives() -> None:
    assert f"```\nreport:\n{REPORT}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_fits_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) <= targets


DATABASE_FUNCTION = re.compile(r"`([a-z_]+)_v(\d+)`")


@every_page
def test_functions_of_the_database_are_the_newest(page: Path) -> None:
    made = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "migrations" / "versions").glob("*.py"))
    for name, version in DATABASE_FUNCTION.findall(page.read_text(encoding="utf-8")):
        known = [int(each) for each in re.findall(rf"\b{name}_v(\d+)\b", made)]
        assert int(version) == max(known), name
