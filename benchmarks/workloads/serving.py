"""Over real HTTP: a server as people start it, and clients in a process of their own."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clients import Told
from benchmarks.figures import Measured
from benchmarks.processes import cpu_seconds, postgres_processes
from benchmarks.server import Server, running_server
from benchmarks.workloads.latency import percentile
from treadle.base.config import load_settings
from treadle.base.database import connect, running_database

_NUMBER = "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98"
_CALCULATOR = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
_OUTPUT = "363ae599-353e-4804-937e-b2ee3cef3da4"
_LISTED = 100_000
_AGENTS = 1_000
_COPY = """
INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format, epoch,
    settings, inputs, outputs, nodes, firings, last_seq, created_at, queued_at, started_at, ended_at)
SELECT i.id, i.id, e.workspace_id, ($2::text[])[1 + i.n % cardinality($2)],
    e.graph_version, e.plan_digest, e.status, e.format, e.epoch,
    e.settings, e.inputs, e.outputs, e.nodes, e.firings, e.last_seq, i.at, i.at, i.at, i.at + interval '5 ms'
FROM (SELECT * FROM executions LIMIT 1) e CROSS JOIN (
    SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid AS id
    FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(1, $1) n) times
) i
"""
"""Runs of the past, of the graphs given, copied from one that there is."""


def two_nodes(name: str = "Two nodes") -> dict[str, Any]:
    """An agent with two working nodes, between its input and its output."""
    nodes = {
        "in": (_NUMBER, {"name": "value"}),
        "one": (_CALCULATOR, {"operation": "Add", "b": 1}),
        "two": (_CALCULATOR, {"operation": "Add", "b": 1}),
        "out": (_OUTPUT, {"name": "result"}),
    }
    ends = ("source_id", "source_name", "sink_id", "sink_name")
    links = [("in", "result", "one", "a"), ("one", "result", "two", "a"), ("two", "result", "out", "value")]
    return {
        "name": name,
        "nodes": [{"id": id, "block_id": block, "input_default": values} for id, (block, values) in nodes.items()],
        "links": [dict(zip(ends, link, strict=True)) for link in links],
    }


async def api_runs(home: Path, quick: bool) -> list[Measured]:
    """Runs that are asked for, run, recorded, and answered with their result."""
    with running_server(home) as server:
        start = _start(server, _saved(server))
        await _told(server, 64, 1.0, start)
        tellings = [await _told(server, 64, 1.0 if quick else 5.0, start) for _ in range(3 if quick else 5)]
        for told in tellings:
            if json.loads(told.sample)["outputs"] != [{"name": "result", "value": 42.0}]:
                raise RuntimeError(f"a run gave {told.sample[:500]}")
        return _figures("api-runs", tellings, "p95")


async def api_list(home: Path, quick: bool) -> list[Measured]:
    """The newest 100 of 100,000 runs."""
    amount = 5_000 if quick else _LISTED
    with running_server(home) as server:
        graph = _saved(server)
        await _told(server, 1, 0.1, _start(server, graph))
        await _past(home, amount, [graph])
        ask = _request(server, "GET", "/api/v2/executions?page_size=100")
        await _told(server, 16, 1.0, ask)
        tellings = [await _told(server, 16, 1.0 if quick else 5.0, ask) for _ in range(3 if quick else 5)]
        for told in tellings:
            if len(json.loads(told.sample)["executions"]) != 100:
                raise RuntimeError(f"a list of 100 was {told.sample[:500]}")
        return _figures("api-list", tellings, "p99", f"of {amount:,} runs" if quick else "")


async def api_library(home: Path, quick: bool) -> list[Measured]:
    """100 of 1,000 agents of the library, which have run 100,000 times."""
    amount, agents = (5_000, 120) if quick else (_LISTED, _AGENTS)
    with running_server(home) as server:
        graphs = [_saved(server, f"Two nodes, agent {number}") for number in range(agents)]
        await _told(server, 1, 0.1, _start(server, graphs[0]))
        await _past(home, amount, graphs)
        ask = _request(server, "GET", "/api/v2/library/agents?page_size=100")
        await _told(server, 16, 1.0, ask)
        tellings = [await _told(server, 16, 1.0 if quick else 5.0, ask) for _ in range(3 if quick else 5)]
        for told in tellings:
            listed = json.loads(told.sample)
            if len(listed["agents"]) != 100 or listed["pagination"]["total"] != agents:
                raise RuntimeError(f"a list of 100 was {told.sample[:500]}")
            if not all(each["last_run"] for each in listed["agents"]):
                raise RuntimeError(f"agents have no run: {told.sample[:500]}")
        return _figures("api-library", tellings, "p99", f"of {agents:,} agents" if quick else "")


async def _past(home: Path, amount: int, graphs: list[str]) -> None:
    """Give graphs of a running server that many runs, copied from the one that there is."""
    async with running_database(load_settings(home=home)) as urls:
        connection = await connect(urls.engine)
        await connection.execute(_COPY, amount, graphs)
        await connection.execute("ANALYZE")  # as autovacuum does within a minute
        await connection.close()


def _saved(server: Server, name: str = "Two nodes") -> str:
    """The id of a new graph of two working nodes."""
    return str(server.call("POST", "/api/v2/builder/graphs", two_nodes(name))["id"])


def _start(server: Server, graph: str) -> bytes:
    return _request(server, "POST", f"/api/v2/builder/graphs/{graph}/execute?wait=30", {"input_data": {"value": 40}})


def _request(server: Server, method: str, target: str, body: Any = None) -> bytes:
    """A request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {server.token}"]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


class _Counted:
    """What clients saw, and what it cost the server and its database."""

    def __init__(self, told: Told, server_seconds: float, postgres_seconds: float) -> None:
        self.sample = told.sample
        self.rate = told.answers / told.seconds
        self.milliseconds = told.milliseconds
        self.server_ms = 1000 * server_seconds / told.answers
        self.postgres_ms = 1000 * postgres_seconds / told.answers


async def _told(server: Server, clients: int, seconds: float, request: bytes) -> _Counted:
    own, postgres = _server_seconds(server), cpu_seconds(postgres_processes(server.home))
    command = [sys.executable, "-m", "benchmarks.clients", str(server.port), str(clients), str(seconds)]
    done = await asyncio.to_thread(subprocess.run, command, input=request, stdout=subprocess.PIPE, check=True)
    told = Told(**json.loads(done.stdout))
    if told.failure:
        raise RuntimeError(f"an answer was {told.failure[:500]}")
    postgres = cpu_seconds(postgres_processes(server.home)) - postgres
    return _Counted(told, _server_seconds(server) - own, postgres)


def _server_seconds(server: Server) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def _figures(name: str, tellings: list[_Counted], which: str, note: str = "") -> list[Measured]:
    part = int(which[1:]) / 100
    server_ms = sum(each.server_ms for each in tellings) / len(tellings)
    postgres_ms = sum(each.postgres_ms for each in tellings) / len(tellings)
    return [
        Measured(name, [each.rate for each in tellings], server_ms, postgres_ms, note),
        Measured(f"{name}-{which}", [percentile(each.milliseconds, part) for each in tellings], note=note),
    ]
