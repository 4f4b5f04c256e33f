"""The size check finds what is too long, and nothing else."""

from pathlib import Path

import pytest

from checks import sizes


def tree(root: Path, body_lines: int) -> Path:
    (root / "treadle").mkdir()
    body = "\n".join("    pass" for _ in range(body_lines))
    (root / "treadle" / "a.py").write_text(f"def small():\n    pass\n\n\nasync def long():\n{body}\n")
    return root


def test_what_is_within_the_budget_passes(tmp_path: Path) -> None:
    files, functions = sizes.measure(tree(tmp_path, 39))
    assert sorted(each.lines for each in functions) == [2, 40]
    assert [each.place for each in files] == ["treadle/a.py"]
    assert sizes.problems(files, functions) == []


def test_a_long_function_is_named(tmp_path: Path) -> None:
    found = sizes.problems(*sizes.measure(tree(tmp_path, 80)))
    assert found[0] == "treadle/a.py:long: 81 lines, the cap is 80"
    assert "95th percentile" in found[1]


def test_a_long_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "b.py").write_text("x = 1\n" * 601)
    assert sizes.problems(*sizes.measure(tmp_path)) == ["tests/b.py: 601 lines, the cap is 600"]


def test_an_exception_has_its_own_cap_and_must_still_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "EXCEPTIONS", {"tests/b.py": (700, "a table"), "gone.py": (700, "gone")})
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "b.py").write_text("x = 1\n" * 601)
    found = sizes.problems(*sizes.measure(tmp_path))
    assert found == ["gone.py: listed as an exception, but not there any more"]


def test_every_exception_has_a_reason() -> None:
    assert all(reason for _, reason in sizes.EXCEPTIONS.values())
