"""Commands that look: validate, blocks, show, list, export, doctor, version."""

import json
import socket
from pathlib import Path

import pytest

from tests.main.conftest import Call
from tests.main.installs import CALCULATOR, FAILING, GREETING, OUTPUT, TEMPLATE, agent, written
from treadle.features.graphs.reader import read_agent_file
from treadle.web.builder.bodies import BlockBody


def test_a_sound_agent_is_valid_without_a_database(bare: Call, tmp_path: Path) -> None:
    called = bare("validate", written(tmp_path, GREETING))
    assert called.code == 0
    assert "greeting: 3 nodes in 1 graph, 0 errors" in called.out
    assert not (tmp_path / "home").exists()


def test_every_problem_is_told_with_its_place_and_a_fix(bare: Call, tmp_path: Path) -> None:
    bad = agent(
        {"t": (TEMPLATE, {"format": "x"}), "o": (OUTPUT, {"name": "y"})},
        [("t", "no_such", "o", "value"), ("t", "output", "o", "nor_this")],
    )
    called = bare("validate", written(tmp_path, bad), "--json")
    assert called.code == 2
    problems = called.json["problems"]
    errors = [each for each in problems if each["severity"] == "error"]
    assert len(errors) >= 2
    assert all(each["message"] and each["fix"] and each["node"] for each in errors)
    text = bare("validate", written(tmp_path, bad))
    assert text.code == 2
    assert all(each["message"] in text.err for each in problems)


def test_needed_credentials_are_told_and_whether_they_are_there(
    bare: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = {each["name"]: each["id"] for each in bare("blocks", "--json").json}
    model = agent({"m": (blocks["AITextGeneratorBlock"], {"prompt": "Hi", "model": "gpt-4o"})})
    file = written(tmp_path, model)
    (need,) = bare("validate", file, "--json").json["credentials"]
    assert (need["providers"], need["available"]) == (["openai"], False)
    assert "OPENAI_API_KEY" in need["fix"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    there = bare("validate", file, "--json")
    assert there.json["credentials"][0]["available"] is True
    assert "sk-canary" not in there.out + there.err


def test_blocks_are_listed_with_their_schemas_and_searched(bare: Call) -> None:
    every = bare("blocks", "--json").json
    assert set(every[0]) == set(BlockBody.model_fields)
    assert len({each["id"] for each in every}) == len(every) > 100
    found = bare("blocks", "text", "template").out
    assert "Fill Text Template" in found
    assert "Calculator" not in found


@pytest.mark.parametrize("name", ["CalculatorBlock", "Calculator", "calculator", CALCULATOR.upper()])
def test_a_block_that_the_operator_switched_off_says_so(bare: Call, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TREADLE_DISABLED_BLOCKS", f"Fill Text Template,{name}")
    (found,) = [each for each in bare("blocks", "--json").json if each["name"] == "CalculatorBlock"]
    assert found["disabled"]


def test_a_block_that_cannot_be_switched_off_is_not_left_on_in_silence(
    bare: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_DISABLED_BLOCKS", "Calculator,Calculater")
    called = bare("blocks")
    assert called.code == 1
    assert "names 'Calculater', which no block is called" in called.err


def test_runs_are_listed_and_found_by_a_part_of_their_id(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann", "--json").json["id"]
    assert treadle("list", "--limit", "1", "--json").json[0]["id"] == id
    assert id.rpartition("-")[2] in treadle("list").out
    for named in (id, id[-9:], id.replace("-", "")[:26], "last"):
        assert treadle("show", named, "--json").json["id"] == id
    assert treadle("show", "zzzz").code == 2
    assert treadle("show", "01234567-89ab-7def-8123-456789abcdef").code == 2


def test_a_failed_run_shows_the_failing_firing_with_its_inputs(treadle: Call, tmp_path: Path) -> None:
    nodes = [{**node, "policy": {"on_error": "fail"}} for node in FAILING["nodes"]]
    called = treadle("run", written(tmp_path, {**FAILING, "nodes": nodes}), "-i", "of=-4", "--json")
    assert called.code == 1
    assert called.json["status"] == "FAILED"
    shown = treadle("show", called.json["id"])
    assert "step 2 failed" in shown.out
    assert "a: -4" in shown.out


def test_an_agent_that_is_not_there_cannot_be_exported(treadle: Call) -> None:
    called = treadle("export", "no such agent")
    assert (called.code, called.out) == (2, "")
    assert "treadle list" in called.err


def test_in_a_pipe_each_row_is_one_whole_line(bare: Call) -> None:
    lines = bare("blocks", "smart", "decision").out.splitlines()
    assert [line.split()[0] for line in lines] == ["title", "Smart"]
    assert len(lines[1]) > 80 and not any(line.endswith(" ") for line in lines)


def test_a_search_that_finds_nothing_says_so(bare: Call) -> None:
    called = bare("blocks", "zebra", "crossing")
    assert (called.code, called.out.startswith("No block fits “zebra crossing”.")) == (0, True)
    assert bare("blocks", "zebra", "crossing", "--json").json == []


def test_help_fits_eighty_columns_uncut(bare: Call) -> None:
    text = bare("--help").out
    assert text == bare("-h").out
    assert "..." not in text.replace("[ARGS]...", "")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_an_export_reads_back_as_the_same_agent(treadle: Call, tmp_path: Path) -> None:
    treadle("run", written(tmp_path, {**GREETING, "name": "exported"}), "-i", "who=Ann")
    exported = treadle("export", "exported")
    assert exported.code == 0
    again = read_agent_file(exported.out.encode(), name="again")
    assert [node.id for node in again.nodes] == ["who", "text", "out"]


def test_the_doctor_finds_a_healthy_install_healthy(treadle: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_PORT", str(_free_port()))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    called = treadle("doctor", "--json")
    states = {each["name"]: each["state"] for each in called.json}
    assert called.code == 0, called.out
    assert {states[name] for name in ("data", "disk", "database", "migrations", "server", "egress")} == {"ok"}
    assert "openai" in called.out
    assert "sk-canary" not in called.out


def test_the_doctor_says_what_is_broken_and_what_to_do(treadle: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("TREADLE_PORT", str(taken.getsockname()[1]))
        called = treadle("doctor", "--json")
    broken = [each for each in called.json if each["state"] == "broken"]
    assert called.code == 1
    assert [each["name"] for each in broken] == ["server"]
    assert "--port" in broken[0]["fix"]


def test_a_bad_setting_is_told_by_its_name(bare: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_PORT", "eighty")
    called = bare("doctor", "--json")
    assert called.code == 1
    assert "TREADLE_PORT" in json.loads(called.out)["error"]["message"]


def test_the_version_is_printed(bare: Call) -> None:
    called = bare("version")
    assert (called.code, called.out.strip() != "") == (0, True)
    assert bare("--version") == called


def test_an_unexpected_failure_is_one_message_with_the_place_of_the_log(
    treadle: Call, install: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug\x1b[31m")

    monkeypatch.setattr("treadle.features.executions.listing.RunLists.page", broken)
    called = treadle("list")
    assert called.code == 1
    assert "Traceback" not in called.err
    assert "ZeroDivisionError: a bug\\x1b[31m" in called.err
    log = install / "logs" / "treadle.log"
    assert str(log) in called.err
    assert "ZeroDivisionError" in log.read_text()


def test_scaffolds_are_written_below_the_working_folder(bare: Call, tmp_path: Path) -> None:
    outside = bare("new-block", "shouting", "ShoutText")
    assert (outside.code, "no checkout" in outside.err) == (2, True)
    (tmp_path / "treadle" / "blocks").mkdir(parents=True)
    (tmp_path / "treadle" / "blocks" / "catalogue.py").touch()
    called = bare("new-block", "shouting", "ShoutText")
    assert called.code == 0
    assert (tmp_path / "treadle" / "blocks" / "shouting.py").is_file()
    assert bare("new-block", "shouting", "ShoutText").code == 2
    assert [each.name for each in (tmp_path / "treadle").iterdir()] == ["blocks"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
