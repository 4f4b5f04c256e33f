"""``treadle run`` and what follows a run: decide, rerun, stop."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.main.conftest import Call, Called
from tests.main.installs import (
    AGENT,
    ASKING,
    CALCULATOR,
    FAILING,
    GREETING,
    INPUT,
    OUTPUT,
    TEMPLATE,
    WAITING,
    agent,
    written,
)
from treadle.base.config import load_settings
from treadle.base.database import running_database
from treadle.main.sessions import run_async


def test_a_run_prints_its_outputs_and_where_its_record_is(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann")
    assert (called.code, called.out) == (0, "greeting: Hello Ann!\n")
    assert "COMPLETED after 3 steps" in called.err
    id = called.err.rsplit("treadle show ", 1)[1].strip()
    assert "Hello Ann!" in treadle("show", id).out


def test_a_value_of_several_lines_stands_below_its_name(treadle: Call, tmp_path: Path) -> None:
    inputs = written(tmp_path, {"who": "Ann,\nBob"}, "inputs.json")
    called = treadle("run", written(tmp_path, GREETING), "--input-file", inputs)
    assert called.out == "greeting:\nHello Ann,\nBob!\n"


def test_a_failed_step_is_told_by_number_title_and_reason(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, FAILING), "-i", "of=-4")
    assert called.code == 1
    assert "Failed: step 2, Calculator: " in called.err


def test_a_step_without_its_account_says_what_to_set(
    treadle: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    search = agent({"find": ("87840993-2053-44b7-8da4-187ad4ee518c", {"query": "looms"})})
    called = treadle("run", written(tmp_path, search), "--json")
    assert (called.code, called.json["status"]) == (1, "FAILED")
    assert called.json["error"].startswith("Step 1, Search The Web: There are no jina credentials")
    assert "Set JINA_API_KEY" in called.json["error"]


def test_json_is_one_object_and_nothing_else(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann", "--json")
    answer = called.json
    assert called.code == 0
    assert UUID(answer.pop("id")).version == 7
    assert answer.pop("seconds") >= 0
    assert answer == {
        "status": "COMPLETED",
        "outputs": [{"name": "greeting", "value": "Hello Ann!"}],
        "error": None,
        "warnings": [],
        "firings": 3,
    }


def test_the_agent_may_come_from_standard_input(treadle: Call) -> None:
    called = treadle("run", "-", "-i", "who=stdin", given=json.dumps(GREETING).encode())
    assert (called.code, called.out) == (0, "greeting: Hello stdin!\n")


def test_inputs_come_from_a_file_and_single_ones_win(treadle: Call, tmp_path: Path) -> None:
    two = agent(
        {
            "a": (INPUT, {"name": "a"}),
            "b": (INPUT, {"name": "b"}),
            "x": (OUTPUT, {"name": "x"}),
            "y": (OUTPUT, {"name": "y"}),
        },
        [("a", "result", "x", "value"), ("b", "result", "y", "value")],
    )
    inputs = written(tmp_path, {"a": [1, {"deep": None}], "b": 2}, "inputs.json")
    called = treadle("run", written(tmp_path, two), "--input-file", inputs, "-i", "b=3", "--json")
    assert {each["name"]: each["value"] for each in called.json["outputs"]} == {"x": [1, {"deep": None}], "y": "3"}


def test_a_number_is_read_as_a_number(treadle: Call, tmp_path: Path) -> None:
    file = written(tmp_path, FAILING)
    assert treadle("run", file, "-i", "of=64", "--json").json["outputs"] == [{"name": "result", "value": 8.0}]
    called = treadle("run", file, "-i", "of=many")
    assert called.code == 2
    assert "“of”" in called.err


def test_a_long_output_is_cut_for_people_and_whole_for_programs(treadle: Call, tmp_path: Path) -> None:
    file = written(tmp_path, GREETING)
    called = treadle("run", file, "-i", f"who={'x' * 100_000}")
    assert len(called.out) < 3_000
    assert "100,007 characters" in called.out
    whole = treadle("run", file, "-i", f"who={'x' * 100_000}", "--json").json
    assert len(whole["outputs"][0]["value"]) == 100_007


def test_fifty_megabytes_pass_through(treadle: Call, tmp_path: Path) -> None:
    inputs = written(tmp_path, {"who": "x" * 50_000_000}, "inputs.json")
    straight = agent(
        {"who": (INPUT, {"name": "who"}), "out": (OUTPUT, {"name": "same"})}, [("who", "result", "out", "value")]
    )
    called = treadle("run", written(tmp_path, straight), "--input-file", inputs, "--json")
    assert called.code == 0
    assert len(called.json["outputs"][0]["value"]) == 50_000_000


def test_control_characters_of_an_output_do_not_reach_the_terminal(treadle: Call, tmp_path: Path) -> None:
    inputs = written(tmp_path, {"who": "\x1b[2J\x07"}, "inputs.json")
    called = treadle("run", written(tmp_path, GREETING), "--input-file", inputs)
    assert called.code == 0
    assert "\x1b" not in called.out
    assert "\\x1b[2J" in called.out


_BAD_FILES: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"nodes": [', "line 1"),
    "nothing": (b"", "empty"),
    "a list": (b"[]", "a list"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "agent.json"),
    "an unknown block": (
        json.dumps(agent({"n": ("00000000-0000-4000-8000-000000000000", {})})).encode(),
        "00000000-0000-4000-8000-000000000000",
    ),
    "a sub-agent that calls itself": (
        json.dumps(agent({"n": (AGENT, {"graph_id": "me", "graph_version": 1})}, id="me", name="Loop")).encode(),
        "runs itself",
    ),
    "a cycle with no way in": (
        json.dumps(
            agent(
                {"a": (TEMPLATE, {"format": "{{x}}"}), "b": (TEMPLATE, {"format": "{{x}}"})},
                [("a", "output", "b", "values_#_x"), ("b", "output", "a", "values_#_x")],
            )
        ).encode(),
        "",
    ),
}


def test_a_single_problem_names_its_node_and_pin(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, agent({"n": (TEMPLATE, {"format": 5, "nonsense": 1})})))
    assert called.code == 2
    assert called.err.startswith("Error: Fill Text Template")
    file = written(tmp_path, agent({"n": (INPUT, {"name": "a"}), "o": (OUTPUT, {})}, [("n", "result", "o", "value")]))
    assert treadle("run", file).err.startswith("Error: Agent Output · name: ")


def test_an_agent_that_cannot_run_is_refused_before_anything_is_started_or_saved(bare: Call, tmp_path: Path) -> None:
    unfinished = agent({"in": (INPUT, {"name": "x"}), "out": (OUTPUT, {"name": "y"}), "n": (CALCULATOR, {"a": 1})})
    called = bare("run", written(tmp_path, unfinished), "-i", "x=1")
    assert called.code == 2
    assert "Calculator" in called.err
    assert not (tmp_path / "home").exists()


def test_a_sub_agent_that_is_not_there_is_told_with_the_node_that_runs_it(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, agent({"n": (AGENT, {"graph_id": "nothere", "graph_version": 1})})))
    assert called.code == 2
    assert called.err.startswith("Error: Agent Executor · graph_id: there is no agent nothere")


@pytest.mark.parametrize("case", _BAD_FILES)
def test_a_bad_file_is_told_in_one_message(treadle: Call, tmp_path: Path, case: str) -> None:
    content, expected = _BAD_FILES[case]
    (tmp_path / "agent.json").write_bytes(content)
    called = treadle("run", str(tmp_path / "agent.json"))
    assert called.code == 2, called.err
    assert "Traceback" not in called.err
    assert called.err.startswith("Error: ")
    assert expected in called.err
    error = treadle("run", str(tmp_path / "agent.json"), "--json").json["error"]
    assert error["message"]
    assert error["details"]["fix"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "who"),
        (("-i", "whom=Ann"), "did you mean “who”"),
        (("-i", "who"), "name=value"),
        (("--input-file", "nowhere.json"), "nowhere.json"),
        (("--input-file", "list.json"), "object"),
    ],
)
def test_bad_inputs_are_told_before_anything_runs(
    treadle: Call, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "list.json").write_text("[1]")
    called = treadle("run", written(tmp_path, GREETING), *arguments)
    assert called.code == 2
    assert expected in called.err


def test_a_missing_file_needs_no_database(bare: Call, tmp_path: Path) -> None:
    called = bare("run", "missing.json")
    assert (called.code, "missing.json" in called.err) == (2, True)
    assert not (tmp_path / "home").exists()


def test_a_database_that_is_not_there_is_one_sentence(
    treadle: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret-word@127.0.0.1:1/treadle")
    called = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann")
    assert called.code == 1
    assert "No PostgreSQL server answers at 127.0.0.1:1" in called.err
    assert "secret-word" not in called.err + called.out


def test_a_newer_database_is_refused_with_the_way_out(treadle: Call, install: Path, tmp_path: Path) -> None:
    async def set_revision(revision: str) -> str:
        async with running_database(load_settings(home=install)) as urls:
            connection = await asyncpg.connect(urls.owner)
            try:
                old = await connection.fetchval("SELECT version_num FROM alembic_version")
                await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
                return str(old)
            finally:
                await connection.close()

    old = run_async(set_revision("9999"))
    try:
        called = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann")
    finally:
        run_async(set_revision(old))
    assert called.code == 1
    assert "revision 9999" in called.err
    assert "Install Treadle" in called.err


def test_a_review_is_told_decided_and_then_carried_out(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, ASKING), "--json")
    assert (called.code, called.json["status"]) == (1, "REVIEW")
    id = called.json["id"]
    assert f"treadle decide {id} 2 --approve" in treadle("show", id).out
    undecided = treadle("decide", id, "2")
    assert (undecided.code, "--approve or --reject" in undecided.err) == (2, True)
    assert treadle("decide", id, "7", "--approve").code == 2
    assert treadle("decide", id, "2", "--approve", "--data", "{").code == 2
    decided = treadle("decide", id, "2", "--approve", "--data", '{"better": true}')
    assert (decided.code, decided.out) == (0, 'Approved.\napproved: {"better": true}\n')
    assert treadle("decide", id, "2", "--reject").code == 2


def test_a_rejected_review_goes_the_other_way(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, ASKING), "--json").json["id"]
    assert "rejected: a draft" in treadle("decide", id, "2", "--reject").out


def test_the_time_limit_stops_a_run_that_waits(treadle: Call, tmp_path: Path) -> None:
    called = treadle("run", written(tmp_path, WAITING), "--timeout", "0.5", "--json")
    assert (called.code, called.json["status"]) == (1, "TERMINATED")
    assert "--timeout" in called.json["error"]
    assert "waits until" in called.err


def test_stopping_ends_a_run_though_no_server_is_there(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, ASKING), "--json").json["id"]
    assert treadle("stop", id).code == 0
    assert treadle("show", id, "--json").json["status"] == "TERMINATED"
    again = treadle("stop", id)
    assert (again.code, "is over" in again.err) == (2, True)


def _sent_again(called: Called) -> list[dict[str, Any]]:
    assert called.code == 0, called.err
    outputs: list[dict[str, Any]] = called.json["outputs"]
    return outputs


def test_a_rerun_keeps_what_does_not_follow_and_takes_edits(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann", "--json").json["id"]
    again = treadle("rerun", id, "--from", "2", "-i", "values_#_name=Bob", "--json")
    assert _sent_again(again) == [{"name": "greeting", "value": "Hello Bob!"}]
    shown = treadle("show", again.json["id"], "--json").json
    assert shown["rerun_of"] == id
    assert [each["kept_from"] for each in shown["timeline"]] == [1, None, None]


def test_effects_are_repeated_only_when_a_person_agrees(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, ASKING), "--json").json["id"]
    treadle("decide", id, "2", "--approve")
    asked = treadle("rerun", id, "--from", "1")
    assert asked.code == 2
    assert "--yes" in asked.err
    assert treadle("rerun", id, "--from", "1", "--yes", "--json").json["status"] == "REVIEW"
    assert treadle("rerun", id, "--from", "99").code == 2


def test_a_rerun_refuses_an_input_that_the_step_does_not_have(treadle: Call, tmp_path: Path) -> None:
    id = treadle("run", written(tmp_path, GREETING), "-i", "who=Ann", "--json").json["id"]
    called = treadle("rerun", id, "--from", "2", "-i", "nope=Bob")
    assert called.code == 2
    assert "no input “nope”" in called.err
    assert "values" in called.err, "and says what there is"


def test_what_went_wrong_deep_in_sub_agents_is_told(treadle: Call, tmp_path: Path) -> None:
    failing = [{**node, "policy": {"on_error": "fail"}} for node in FAILING["nodes"]]
    calls = [
        agent({"n": (AGENT, {"graph_id": f"deep-{level + 1}", "graph_version": 1})}, id=f"deep-{level}", version=1)
        for level in range(12)
    ]
    calls[-1]["nodes"][0]["input_default"]["inputs"] = {"of": -4}
    innermost = {**FAILING, "nodes": failing, "id": "deep-12", "version": 1}
    called = treadle("run", written(tmp_path, {**calls[0], "sub_graphs": [*calls[1:], innermost]}))
    (told,) = [line for line in called.err.splitlines() if line.startswith("Failed: ")]
    assert called.code == 1
    assert " … " in told
    assert "Calculator" in told.rpartition(" … ")[2]
