"""Every Python snippet of the documentation that is marked as executable runs.

A fence that opens with ```python run``` is executable. The snippets of a page are one program, from top to bottom.
"""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<info>.*)$")


def program(page: str) -> str:
    """The page with everything but its executable snippets blanked out, so that errors name the page's own lines."""
    lines, inside = [], ""
    for line in page.splitlines():
        fence = FENCE.match(line)
        if fence is not None:
            inside = "" if inside else fence["info"].strip() or "text"
            lines.append("")
        else:
            lines.append(line if inside == "python run" else "")
    return "\n".join(lines) + "\n"


PAGES = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if program(page.read_text(encoding="utf-8")).strip()
]


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_run(page: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{page.stem.replace('-', '_')}.py"
    file.write_text(program(page.read_text(encoding="utf-8")), encoding="utf-8")
    runpy.run_path(str(file))


def test_the_block_guide_has_snippets() -> None:
    assert "docs/block-guide.md" in [page.id for page in PAGES]


def test_only_marked_snippets_are_run() -> None:
    page = "text\n```python run\na = 1\n```\n```python\nb = 2\n```\n```python run\nc = a\n```\n"
    assert program(page) == "\n\na = 1\n\n\n\n\n\nc = a\n\n"
