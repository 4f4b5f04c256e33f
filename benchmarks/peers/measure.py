"""Measures the peers, one after the other, and remembers their figures."""

import asyncio
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.peers import n8n, node_red
from benchmarks.peers.install import cache_folder
from benchmarks.peers.server import Refused
from benchmarks.ports import free_port
from benchmarks.workloads.waiting import slow_server

Peer = Callable[[Path, int, int, bool], dict[str, list[float]]]
PEERS: dict[str, Peer] = {
    "Node-RED": node_red.measure,
    "n8n": n8n.measure,
    "n8n, older engine": partial(n8n.measure, engine="legacy"),
}


def measure_peers(folder: Path, quick: bool, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Row -> peer -> median on this machine; a peer that cannot be measured is said and left out."""
    return asyncio.run(_measure(folder, quick, say))


async def _measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    async with slow_server() as slow_port:
        for name, peer in PEERS.items():
            say(f"measuring {name} (installs it the first time) ...")
            home = folder / f"peer-{len(found)}-{free_port()}"
            home.mkdir()
            try:
                figures = await asyncio.to_thread(peer, home, slow_port, free_port(), quick)
            except (Refused, RuntimeError, OSError) as error:
                say(f"{name} could not be measured: {error}")
                continue
            for row, values in figures.items():
                found.setdefault(row, {})[name] = statistics.median(values)
    return found


def _memory() -> Path:
    return cache_folder() / "figures.json"


def remember(figures: dict[str, dict[str, float]]) -> None:
    """Keep the figures for later tables on this machine."""
    _memory().parent.mkdir(parents=True, exist_ok=True)
    _memory().write_text(json.dumps(figures, indent=1))


def remembered() -> dict[str, dict[str, float]]:
    """The figures measured on this machine earlier; empty when there are none."""
    try:
        found: dict[str, dict[str, float]] = json.loads(_memory().read_text())
    except (OSError, ValueError):
        return {}
    return found
