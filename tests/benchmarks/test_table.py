"""The table and the file say what was measured."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import arguments
from benchmarks.figures import ROWS, Measured, Row, best
from benchmarks.machine import Machine
from benchmarks.table import Report, as_json, cells, number, show, write_json

MACHINE = Machine("Some CPU", 2, 8.0, "Linux 6", "3.12.1", "18.6", fsync_ms=0.4, load=0.5, others=0.0)


def report(*measured: Measured) -> Report:
    return Report(MACHINE, list(measured))


def printed(found: Report) -> str:
    out = io.StringIO()
    show(found, Console(file=out))
    return out.getvalue()


def test_a_row_shows_the_median_the_spread_the_target_and_the_peers() -> None:
    row = cells(Measured("chain-1000", [20_000.0, 30_000.0, 26_000.0], 0.0123, 0.004), report())
    assert row[:6] == ["chain of 1,000 nodes", "26,000", "20,000..30,000", "nodes/s", "25,000", "ok"]
    assert row[6:10] == ["Node-RED 38,389", "0.68", "Restate 573", "45"]
    assert row[10:] == ["0.012", "0.004"]


def test_less_is_better_where_time_is_measured() -> None:
    row = cells(Measured("waits-200", [1.4]), report())
    assert row[4:8] == ["1.3", "MISSED", "Node-RED 1.13", "0.81"]
    assert row[10:] == ["", ""]


def test_the_target_of_lone_effects_comes_on_top_of_the_fsync_measured_beside_them() -> None:
    lone = Measured("effect-alone", [0.9])
    assert cells(lone, report())[4:6] == ["1", "ok"]
    assert cells(lone, report(Measured("fsync", [0.1, 0.2, 0.3])))[4:6] == ["0.8", "MISSED"]


def test_memory_of_many_items_is_the_difference_of_two_processes() -> None:
    found = report(Measured("items-1000-peak", [100.0]), Measured("items-100000-peak", [180.0]))
    found.add_differences()
    assert [(each["name"], each["value"]) for each in as_json(found)] == [("items-memory", 80.0)]


def test_peers_measured_here_stand_before_recorded_ones() -> None:
    found = report()
    found.peers_here = {"chain-1000": {"Node-RED": 50_000.0}}
    assert cells(Measured("chain-1000", [25_000.0]), found)[6:8] == ["Node-RED 50,000", "0.5"]


def test_the_file_holds_name_value_unit_and_spread(tmp_path: Path) -> None:
    write_json(report(Measured("stop", [0.3, 0.1, 0.2])), tmp_path / "latest.json")
    assert json.loads((tmp_path / "latest.json").read_text()) == [
        {"name": "stop", "value": 0.2, "unit": "s", "spread": [0.1, 0.3]}
    ]


def test_plain_text_when_nobody_watches() -> None:
    found = report(Measured("stop", [0.2]))
    found.problems["start"] = "it broke"
    found.others["stop"] = 1.5
    text = printed(found)
    assert "\x1b" not in text
    assert "Some CPU, 2 cores, 8.0 GB" in text
    assert "fsync of one 8 kB block 0.40 ms" in text
    assert "start: no figure: it broke" in text
    assert "stop 1.5" in text


def test_without_peers_of_this_machine_the_table_says_how_to_measure_them() -> None:
    assert "--peers measures them here" in printed(report())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12_345.6, "12,346"), (0.012345, "0.0123"), (0.0, "0"), (3.0, "3"), (99.95, "100"), (1.26, "1.26")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_best_peer_depends_on_what_is_better() -> None:
    peers = {"a": 1.0, "b": 2.0}
    assert best(Row("", "", "more"), peers) == "b"
    assert best(Row("", "", "less"), peers) == "a"
    assert best(Row("", "", "less"), {}) is None


def test_unknown_workloads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["chian"])
    assert "there is no workload chian" in capsys.readouterr().err


def test_every_target_of_the_project_is_in_the_table() -> None:
    targets = {name: row.target for name, row in ROWS.items() if row.target is not None}
    assert targets == {
        "chain-1000": 25_000,
        "items-1000": 20_000,
        "items-100000": 20_000,
        "items-memory": 150,
        "effects-500x100": 12_000,
        "effect-alone": 0.6,
        "waits-200": 1.3,
        "waiting-worker-memory": 100,
        "waiting-roots": 0,
        "api-runs": 800,
        "api-runs-p95": 150,
        "api-list": 800,
        "api-list-p99": 60,
        "live-p99": 50,
        "live-wide-p99": 50,
        "live-sse-p99": 50,
        "api-library": 800,
        "api-library-p99": 60,
        "upload-memory": 60,
        "catalogue-p99": 20,
        "catalogue-search-p99": 20,
        "catalogue-size": 200,
        "stop": 2,
        "start-warm": 2.5,
        "idle-memory": 200,
    }
