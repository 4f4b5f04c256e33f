"""The table that people read, and the file that programs read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.figures import PEER_NOTES, ROWS, SURVIVES, Measured, Row, best
from benchmarks.machine import QUIET_CORES, Machine

WIDE = 200
HEADINGS = ("what", "figure", "spread", "unit", "target", "", "best peer", "x", "best that survives kill -9", "x")
COSTS = ("worker", "database")


@dataclass(slots=True)
class Report:
    """Everything that was found out."""

    machine: Machine
    measured: list[Measured] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Workload -> why it gave nothing."""
    others: dict[str, float] = field(default_factory=dict)
    """Workload -> cores that others kept busy meanwhile."""
    peers_here: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Row -> peer -> its figure on this machine."""

    @property
    def fsync_ms(self) -> float:
        """Beside the lone effects when they ran, else at the start."""
        beside = [each.median for each in self.measured if each.name == "fsync"]
        return beside[0] if beside else self.machine.fsync_ms

    def add_differences(self) -> None:
        """Rows that compare two workloads."""
        found = {each.name: each for each in self.measured}
        small, large = found.get("items-1000-peak"), found.get("items-100000-peak")
        if small and large:
            self.measured.append(Measured("items-memory", [large.median - small.median]))


def as_json(report: Report) -> list[dict[str, object]]:
    """One entry for each row: name, value (median), unit, spread."""
    return [
        {
            "name": each.name,
            "value": each.median,
            "unit": ROWS[each.name].unit,
            "spread": [min(each.values), max(each.values)],
        }
        for each in _in_order(report.measured)
    ]


def write_json(report: Report, path: Path) -> None:
    """Keep the figures."""
    path.write_text(json.dumps(as_json(report), indent=1) + "\n")


def show(report: Report, console: Console) -> None:
    """Print the machine, the table and the notes; plain text when nobody watches."""
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDE, color_system=None)
    for line in report.machine.lines():
        console.print(line, highlight=False)
    console.print(_table(report))
    for line in _notes(report):
        console.print(line, highlight=False)


def _table(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption="worker, database: processor milliseconds for each firing")
    for heading in (*HEADINGS, *COSTS):
        left = heading in ("what", "unit", "", "best peer", "best that survives kill -9")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading in ("figure", "unit"))
    for each in _in_order(report.measured):
        table.add_row(*cells(each, report))
    return table


def _in_order(measured: list[Measured]) -> list[Measured]:
    order = {name: place for place, name in enumerate(ROWS)}
    return sorted((each for each in measured if each.name in order), key=lambda each: order[each.name])


def cells(measured: Measured, report: Report) -> list[str]:
    """One row of the table."""
    row = ROWS[measured.name]
    target = row.target_on(report.fsync_ms)
    peers = {**row.peers, **report.peers_here.get(measured.name, {})}
    return [
        row.title + (f" ({measured.note})" if measured.note else ""),
        number(measured.median),
        f"{number(min(measured.values))}..{number(max(measured.values))}",
        row.unit,
        "" if target is None else number(target),
        "" if target is None else _verdict(row, measured.median, target),
        *_peer(row, measured, peers),
        *_peer(row, measured, {name: value for name, value in peers.items() if name in SURVIVES}),
        _cost(measured.worker_ms),
        _cost(measured.postgres_ms),
    ]


def number(value: float) -> str:
    """Three figures are enough; whole numbers above a hundred."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _verdict(row: Row, value: float, target: float) -> str:
    return "ok" if row.reached(value, target) else "MISSED"


def _peer(row: Row, measured: Measured, peers: dict[str, float]) -> tuple[str, str]:
    name = best(row, peers)
    if name is None:
        return "", ""
    return f"{name} {number(peers[name])}", f"{row.ratio(measured.median or 1e-9, peers[name] or 1e-9):.2g}"


def _cost(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3f}"


def _notes(report: Report) -> list[str]:
    lines = [f"{name}: no figure: {problem}" for name, problem in report.problems.items()]
    disturbed = [f"{name} {cores:.1f}" for name, cores in report.others.items() if cores > QUIET_CORES]
    if disturbed:
        lines.append(f"Other work ran meanwhile, in cores (rows could be better): {', '.join(disturbed)}.")
    lines.append("; ".join(f"{name}: {note}" for name, note in PEER_NOTES.items()) + ".")
    if report.peers_here:
        here = sorted({name for figures in report.peers_here.values() for name in figures})
        lines.append(f"Measured on this machine: {', '.join(here)}; other peers' figures: docs/benchmarks.md.")
    else:
        lines.append("Peers' figures were recorded on a like machine (docs/benchmarks.md); --peers measures them here.")
    return lines
