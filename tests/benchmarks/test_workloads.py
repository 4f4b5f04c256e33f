"""The graphs that are measured do what their names say."""

import asyncio
import os
import urllib.request
from pathlib import Path

import pytest

from benchmarks import agents
from benchmarks.figures import ROWS, Measured
from benchmarks.machine import fsync_ms
from benchmarks.peers.n8n import workflows
from benchmarks.peers.node_red import flows
from benchmarks.processes import CpuMeter, pss, with_children
from benchmarks.runner import bench_folder, run_workload
from benchmarks.workloads.latency import percentile
from benchmarks.workloads.waiting import slow_server
from treadle.sdk.registry import Registry

REGISTRY = Registry(agents.BLOCKS)


def test_a_chain_is_one_line() -> None:
    plan = agents.chain(4, agents.send.id, REGISTRY)
    assert len(plan.nodes) == 4
    assert list(plan.starts) == [0]
    assert {node.work for node in plan.nodes} == {"effect"}


def test_items_pass_three_nodes() -> None:
    plan = agents.through_three(7, REGISTRY)
    assert [node.constants for node in plan.nodes] == [{"amount": 7}, {}, {}, {}]
    assert {node.work for node in plan.nodes} == {"pure"}


def test_side_by_side_all_nodes_start_at_once() -> None:
    assert len(agents.side_by_side(50, agents.sleep.id, REGISTRY).starts) == 50


@pytest.mark.parametrize("amount", [1, 100])
def test_percentiles(amount: int) -> None:
    values = [float(number) for number in range(amount, 0, -1)]
    assert percentile(values, 0) == 1
    assert percentile(values, 1) == amount


def test_costs_are_counted() -> None:
    with bench_folder() as folder:
        meter = CpuMeter(folder)
        assert sum(range(200_000)) > 0
        own, postgres = meter.per_firing(1)
        assert own > 0
        assert postgres == 0
        assert fsync_ms(folder, 3) > 0
        assert not list(folder.iterdir())


def test_memory_of_a_process_counts_once() -> None:
    own = with_children(os.getpid())
    assert 0 < pss([*own, *own]) < 1.5 * pss(own)


async def test_the_slow_server_answers_after_a_second() -> None:
    async with slow_server() as port:
        began = asyncio.get_running_loop().time()
        body = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/")
        assert asyncio.get_running_loop().time() - began >= 0.9
    assert body == b'{"ok": true} '


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def test_a_workload_that_fails_says_why(tmp_path: Path) -> None:
    outcome = run_workload("no-such", tmp_path, quick=True)
    assert outcome.problem == "KeyError: 'no-such'"
    assert outcome.measured == []
    assert not (tmp_path / "no-such").exists()


def test_runs_end_with_the_number_of_firings_that_they_should() -> None:
    with bench_folder() as folder:
        outcome = run_workload("effect-alone", folder, quick=True)
    assert outcome.problem == ""
    assert [each.name for each in outcome.measured] == ["effect-alone", "fsync"]
    lone = outcome.measured[0]
    assert len(lone.values) == 3
    assert lone.worker_ms is not None
    assert lone.worker_ms > 0
    assert lone.postgres_ms is not None
    assert lone.postgres_ms > 0
    assert all(each.name in ROWS for each in outcome.measured)
    assert Measured("effect-alone", [1.0, 5.0, 3.0]).median == 3.0


def test_every_wire_of_node_red_ends_at_a_node() -> None:
    deployed = flows(1)
    ids = [node["id"] for node in deployed]
    assert len(ids) == len(set(ids))
    assert {end for node in deployed for wire in node.get("wires", []) for end in wire} <= set(ids)
    told = [(key, value) for node in deployed for key, value in node.items() if isinstance(value, str)]
    assert {value for key, value in told if key not in ("id", "z", "label")}.isdisjoint(ids)


def test_every_connection_of_n8n_joins_two_nodes() -> None:
    for workflow in workflows(1):
        names = {node["name"] for node in workflow["nodes"]}
        assert set(workflow["connections"]) <= names
        ends = {end["node"] for each in workflow["connections"].values() for out in each["main"] for end in out}
        assert ends <= names
