"""What is measured: every row of the table with its unit, its target and the peers' figures."""

import statistics
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["more", "less"]


@dataclass(slots=True)
class Measured:
    """One figure as a workload gives it: repeated runs, and what a firing cost."""

    name: str
    values: list[float]
    worker_ms: float | None = None
    """Processor milliseconds of the worker's process for each firing."""
    postgres_ms: float | None = None
    """The same of PostgreSQL's processes."""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    title: str
    unit: str
    better: Better
    target: float | None = None
    over_fsync: bool = False
    """The target comes on top of one fsync of the machine."""
    peers: dict[str, float] = field(default_factory=dict)
    """Recorded figures of others for the same work; docs/benchmarks.md says how they were taken."""

    def target_on(self, fsync_ms: float) -> float | None:
        """The target on a machine with that fsync."""
        return self.target + fsync_ms if self.target is not None and self.over_fsync else self.target

    def reached(self, value: float, target: float) -> bool:
        """Whether a figure is as good as the target."""
        return value >= target if self.better == "more" else value <= target

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times better we are; below one they are."""
        return ours / theirs if self.better == "more" else theirs / ours


SURVIVES = frozenset({"Restate", "DBOS", "LangGraph"})
"""Peers whose runs go on after ``kill -9``; the others lose them."""

ROWS: dict[str, Row] = {
    "chain-10": Row(
        "chain of 10 nodes",
        "nodes/s",
        "more",
        peers={
            "Node-RED": 11_953,
            "n8n": 170,
            "n8n, older engine": 798,
            "Langflow": 80,
            "Flowise": 237,
            "LangGraph": 680,
            "DBOS": 408,
            "Restate": 359,
        },
    ),
    "chain-100": Row(
        "chain of 100 nodes",
        "nodes/s",
        "more",
        peers={
            "Node-RED": 35_949,
            "n8n": 638,
            "n8n, older engine": 3_310,
            "Langflow": 154,
            "Flowise": 288,
            "LangGraph": 783,
            "DBOS": 425,
            "Restate": 485,
        },
    ),
    "chain-1000": Row(
        "chain of 1,000 nodes",
        "nodes/s",
        "more",
        25_000,
        peers={
            "Node-RED": 38_389,
            "n8n, older engine": 1_032,
            "Flowise": 188,
            "LangGraph": 235,
            "DBOS": 474,
            "Restate": 573,
        },
    ),
    "items-1000": Row(
        "1,000 items through 3 nodes",
        "firings/s",
        "more",
        20_000,
        peers={
            "Node-RED": 86_460,
            "n8n": 1_256,
            "n8n, older engine": 5_489,
            "Langflow": 152,
            "Flowise": 126,
            "LangGraph": 1_202,
            "DBOS": 455,
            "Restate": 1_025,
        },
    ),
    "items-100000": Row("100,000 items through 3 nodes", "firings/s", "more", 20_000),
    "items-memory": Row("peak memory: 100,000 items over 1,000", "MB", "less", 150),
    "queued-memory": Row("1,000,000 items that wait for a node: worker over idle, at most", "MB", "less"),
    "queued-texts-memory": Row("100,000 items of 2 kB that wait for a node: worker over idle, at most", "MB", "less"),
    "effects-500x100": Row("500 chains of 100 effects at once", "nodes/s", "more", 12_000),
    "effect-alone": Row("one chain of effects, per node (p50)", "ms", "less", 0.6, over_fsync=True),
    "fsync": Row("fsync of one 8 kB block, measured just then (p50)", "ms", "less"),
    "waits-200": Row(
        "200 runs that each wait 1 s for HTTP",
        "s",
        "less",
        1.3,
        peers={
            "Node-RED": 1.13,
            "n8n": 7.12,
            "n8n, older engine": 2.24,
            "LangGraph": 2.67,
            "Flowise": 3.28,
            "Restate": 5.49,
            "DBOS": 6.77,
            "Langflow": 23.7,
        },
    ),
    "waiting-worker-memory": Row("10,000 runs that wait: worker over idle", "MB", "less", 100),
    "waiting-postgres-memory": Row("10,000 runs that wait: PostgreSQL over idle", "MB", "less"),
    "waiting-roots": Row("10,000 runs that wait: held by the worker", "runs", "less", 0),
    "waiting-rate": Row("runs put to sleep", "runs/s", "more"),
    "first-node-p50": Row("submit to first node (p50)", "ms", "less"),
    "first-node-p99": Row("submit to first node (p99)", "ms", "less"),
    "first-effect-p50": Row("submit to first effect (p50)", "ms", "less"),
    "first-effect-p99": Row("submit to first effect (p99)", "ms", "less"),
    "result-p50": Row("submit to result of two nodes (p50)", "ms", "less"),
    "result-p99": Row("submit to result of two nodes (p99)", "ms", "less"),
    "runs-1": Row("two-node runs, 1 submitter", "runs/s", "more"),
    "runs-16": Row("two-node runs, 16 submitters", "runs/s", "more"),
    "runs-64": Row("two-node runs, 64 submitters", "runs/s", "more"),
    "api-runs": Row(
        "POST execute of two nodes, answered with the result, 64 clients",
        "runs/s",
        "more",
        800,
        peers={
            "Restate": 540,
            "LangGraph": 200,
            "n8n, older engine": 144,
            "Flowise": 51,
            "n8n": 28,
            "Langflow": 5,
        },
    ),
    "api-runs-p95": Row("the same, until the answer (p95)", "ms", "less", 150),
    "api-list": Row(
        "list of runs, 100 of 100,000, 16 clients",
        "requests/s",
        "more",
        800,
        peers={"DBOS": 197, "n8n": 57, "Flowise": 34},
    ),
    "api-list-p99": Row("the same, until the answer (p99)", "ms", "less", 60),
    "live-p50": Row("node's output to its subscribers, 2,000 WebSockets (p50)", "ms", "less"),
    "live-p99": Row("the same (p99)", "ms", "less", 50),
    "live-cores": Row("the same: server", "cores", "less"),
    "live-memory": Row("the same: server over before", "MB", "less"),
    "live-wide-p50": Row("the same, each to 20 subscribers (p50)", "ms", "less"),
    "live-wide-p99": Row("the same (p99)", "ms", "less", 50),
    "live-wide-cores": Row("the same: server", "cores", "less"),
    "live-wide-memory": Row("the same: server over before", "MB", "less"),
    "live-sse-p50": Row("the same over server-sent events (p50)", "ms", "less"),
    "live-sse-p99": Row("the same (p99)", "ms", "less", 50),
    "live-sse-cores": Row("the same: server", "cores", "less"),
    "live-sse-memory": Row("the same: server over before", "MB", "less"),
    "api-library": Row("library, 100 of 1,000 agents with 100,000 runs, 16 clients", "requests/s", "more", 800),
    "api-library-p99": Row("the same, until the answer (p99)", "ms", "less", 60),
    "upload-memory": Row("upload of 1 GB: memory over idle, at most", "MB", "less", 60),
    "upload": Row("upload of 1 GB, stored durably", "MB/s", "more"),
    "catalogue-made": Row("block catalogue: made once, beside the start", "s", "less"),
    "catalogue-p99": Row("block catalogue: whole, with schemas (p99)", "ms", "less", 20),
    "catalogue-search-p99": Row("block catalogue: a search in it (p99)", "ms", "less", 20),
    "catalogue-size": Row("block catalogue: compressed", "kB", "less", 200),
    "stop": Row("stop of a run with 50 running nodes", "s", "less", 2),
    "recovery-restart": Row("kill -9, 1,000 runs in flight: a new worker holds all", "s", "less"),
    "recovery-neighbour": Row("the same: a worker that already runs holds all", "s", "less"),
    "start-cold": Row(
        "start with an empty data folder",
        "s",
        "less",
    ),
    "start-warm": Row(
        "start with a data folder",
        "s",
        "less",
        2.5,
        peers={
            "Node-RED": 1.27,
            "n8n": 16.0,
            "Flowise": 5.6,
            "Langflow": 34.0,
            "Restate": 0.68,
            "DBOS": 1.7,
            "LangGraph": 2.2,
        },
    ),
    "idle-memory": Row(
        "idle memory, PostgreSQL included (PSS)",
        "MB",
        "less",
        200,
        peers={
            "Node-RED": 353,
            "n8n": 866,
            "Flowise": 964,
            "Langflow": 1_201,
            "Restate": 337,
            "DBOS": 91,
            "LangGraph": 99,
        },
    ),
}
"""Rows by name, in the order of the table."""

PEER_NOTES = {
    "Node-RED": "keeps no record of runs",
    "DBOS": "memory without its PostgreSQL",
    "LangGraph": "memory without its PostgreSQL",
}


def best(row: Row, peers: dict[str, float]) -> str | None:
    """The peer with the best figure."""
    if not peers:
        return None
    choose = max if row.better == "more" else min
    return choose(peers, key=lambda name: peers[name])
