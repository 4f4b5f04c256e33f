"""What reaches a terminal and a program."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.errors import BadInput
from treadle.main.agent_input import read_value, split_pair, takes_text
from treadle.main.history import bar, duration, widths
from treadle.main.terminal import ask, counted, named, one_line, plain, program, shown, to_json


@given(st.text())
def test_no_text_moves_the_cursor_or_reorders_the_line(text: str) -> None:
    for letter in plain(text):
        assert letter in "\t\n" or (ord(letter) >= 32 and not 0x7F <= ord(letter) <= 0x9F)
        assert letter not in "\u2028\u2029\u202e\u2066"


@given(st.text(st.characters()))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    if text.isprintable():
        assert plain(text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_json_for_people_reads_back(value: Any) -> None:
    assert json.loads(to_json(value)) == value


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    assert to_json("\ud83d").encode() == b'"\\ud83d"'


@given(st.text(), st.integers(2, 50))
def test_one_line_is_one_line_of_bounded_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert "\n" not in line
    assert len(line) <= longest * 10  # an escape takes up to ten characters


def test_a_long_value_says_how_long_it_is() -> None:
    assert shown("x" * 5_000, 10) == "xxxxxxxxxx… (5,000 characters in all)"


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "string"}, "5"),
        ("5", {"type": "integer"}, 5),
        ("5", {}, "5"),
        ("5", None, "5"),
        ("true", {"type": "boolean"}, True),
        ("[1]", {"type": "array"}, [1]),
        ("not json", {"type": "object"}, "not json"),
        ("7", {"anyOf": [{"type": "number"}, {"type": "null"}]}, 7),
        ("7", {"anyOf": [{"type": "number"}, {"type": "string"}]}, "7"),
        ("2026-01-01", {"type": "string", "format": "date"}, "2026-01-01"),
    ],
)
def test_a_value_is_text_or_json_as_the_schema_says(text: str, schema: dict[str, Any] | None, value: Any) -> None:
    assert read_value(text, schema) == value


def test_an_enumeration_is_no_free_text() -> None:
    assert not takes_text({"enum": [1, 2]})


def test_a_value_may_hold_equals_signs() -> None:
    assert split_pair("a=b=c") == ("a", "b=c")
    with pytest.raises(BadInput):
        split_pair("=x")


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e6), st.integers(1, 60))
def test_a_bar_always_has_the_same_width(start: float, took: float, whole: float, length: int) -> None:
    drawn = bar(start, took, whole, length)
    assert len(drawn) == length
    assert "█" in drawn


@given(st.integers(0, 36), st.integers(48, 300))
def test_titles_and_bars_fit_the_line_together(title: int, columns: int) -> None:
    node, drawn = widths(title, columns)
    assert node + drawn + 40 <= columns
    assert drawn == 0 or node >= title, "a title is cut only when there is no bar that could give way"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (599.94, "599.9 s"), (750, "12.5 min"), (36_000, "10.0 h")]
)
def test_a_duration_is_told_in_the_unit_that_suits_it(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_names_of_things_are_counted() -> None:
    assert [counted(number, "step") for number in (0, 1, 2, 2000)] == ["0 steps", "1 step", "2 steps", "2,000 steps"]


def test_long_json_is_shown_on_several_lines() -> None:
    assert named("few", [1, 2]) == "few: [1, 2]"
    assert named("many", list(range(40))).startswith("many:\n[\n  0,\n")


def test_a_question_shows_its_brackets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" A \n"))
    assert ask("[a]pprove, [r]eject: ") == "A"
    assert ask("[y/N] ") == "", "nobody answers any more"
    told = capsys.readouterr()
    assert "[a]pprove, [r]eject: " in told.out + told.err
    assert "[y/N] " in told.out + told.err


@pytest.mark.parametrize("called", [".venv/bin/treadle", "/opt/somewhere else/treadle"])
def test_commands_are_named_as_the_person_calls_them(
    called: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [called, "list"])
    assert shlex.split(program()) == [called]


def test_a_command_on_the_path_is_named_shortly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "treadle"
    file.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [str(file), "list"])
    assert program() == "treadle"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_make_no_difference(closed: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    command = f"{shlex.quote(sys.executable)} -m treadle validate bad.json {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert (done.returncode, "unexpected" in done.stderr) == (2, False), done.stderr


def test_reading_the_agent_from_a_closed_stream_is_an_empty_file(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m treadle validate - <&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert (done.returncode, "empty" in done.stderr) == (2, True), done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
