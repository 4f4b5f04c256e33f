"""The page on security has every case, and names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = {"S": 15, "R": 24, "F": 16, "D": 9, "A": 16, "T": 17, "W": 10, "M": 6, "L": 14, "K": 10}
"""How many there are of each kind: 137."""
_ROW = re.compile(r"\| ([A-Z]\d+) \| (.+?) \| (.*?) ?\|")
_NO_TEST = ("later", "there is no", "there is none", "no YAML", "nothing is exported", "one script", "see D6")
ROWS = {row[0]: row[1:] for row in _ROW.findall((ROOT / "docs/security.md").read_text(encoding="utf-8"))}


def test_every_case_is_there() -> None:
    assert set(ROWS) == {f"{kind}{number}" for kind, count in CASES.items() for number in range(1, count + 1)}
    assert len(ROWS) == 137


@pytest.mark.parametrize("case", ROWS)
def test_each_has_a_test_or_a_reason(case: str) -> None:
    told, test = ROWS[case]
    if not test:
        assert any(reason in told for reason in _NO_TEST), told
        return
    path, _, name = test.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names, test
