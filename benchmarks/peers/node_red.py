"""Node-RED: a flow for each workload, function nodes that add one, answers over HTTP. It keeps no record of runs."""

import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.install import NODE_RED, installed, node
from benchmarks.peers.server import ask, memory, post, rates, running, seconds_until, together

Flow = list[dict[str, Any]]


def measure(folder: Path, slow_port: int, port: int, quick: bool) -> dict[str, list[float]]:
    """Values by row. Raises Refused or RuntimeError when Node-RED cannot be measured."""
    base = f"http://127.0.0.1:{port}"
    command = [str(node()), str(installed(NODE_RED)), "--userDir", str(folder), "--port", str(port)]
    command += ["-D", "uiHost=127.0.0.1"]
    with running(command, {"NODE_ENV": "production"}, folder) as process:
        seconds_until(lambda: bool(ask("GET", f"{base}/flows", timeout=5)[0] == 200), process)
        status, answer, _ = ask("POST", f"{base}/flows", flows(slow_port), {"Node-RED-Deployment-Type": "full"})
        if status != 204:
            raise RuntimeError(f"Node-RED did not take the flows: {answer}")
    starts, idle = [], []
    for _ in range(1 if quick else 3):
        with running(command, {"NODE_ENV": "production"}, folder) as process:
            starts.append(seconds_until(lambda: _ready(base), process))
            time.sleep(3)
            idle.append(memory(process))
    with running(command, {"NODE_ENV": "production"}, folder) as process:
        return {"start-warm": starts, "idle-memory": idle, **_work(base, process, quick)}


def _ready(base: str) -> bool:
    return bool(ask("POST", f"{base}/chain/10", {"n": 0}, timeout=5)[0] == 200)


def _work(base: str, process: subprocess.Popen[bytes], quick: bool) -> dict[str, list[float]]:
    seconds_until(lambda: _ready(base), process)
    times = 5 if quick else 15
    numbers = list(range(1_000))
    if post(f"{base}/items", {"items": numbers}) != [number + 3 for number in numbers]:
        raise RuntimeError("Node-RED's items came back wrong")
    return {
        **{f"chain-{n}": rates(f"{base}/chain/{n}", {"n": 0}, n, times, result=n) for n in (10, 100, 1000)},
        "items-1000": rates(f"{base}/items", {"items": numbers}, 3_000, times),
        "waits-200": together(f"{base}/slow", {}, 200, 3),
    }


def flows(slow_port: int) -> Flow:
    """All that is deployed."""
    add = "msg.payload.n = msg.payload.n + 1; return msg;"
    found: Flow = []
    for length in (10, 100, 1000):
        steps = [_function(f"c{length}-{i}", add) for i in range(length)]
        found += _tab(f"c{length}", f"/chain/{length}", steps)
    found += _tab("items", "/items", _item_steps())
    request = {
        "id": "slow-get",
        "type": "http request",
        "method": "GET",
        "ret": "obj",
        "url": f"http://127.0.0.1:{slow_port}/",
    }
    return found + _tab("slow", "/slow", [request])


def _item_steps() -> Flow:
    split = {
        "id": "items-split",
        "type": "split",
        "arraySplt": 1,
        "arraySpltType": "len",
        "splt": "\\n",
        "spltType": "str",
    }
    adds = [_function(f"items-add-{i}", "msg.payload = msg.payload + 1; return msg;") for i in range(3)]
    take = _function("items-take", "msg.payload = msg.payload.items; return msg;")
    return [take, split, *adds, {"id": "items-join", "type": "join", "mode": "auto"}]


def _function(name: str, code: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "func": code, "outputs": 1}


def _tab(name: str, path: str, steps: Flow) -> Flow:
    """A tab with an address, the steps one after the other, and the answer.

    An id may not be the value of anything else: Node-RED would take it for a reference.
    """
    first = {"id": f"{name}-in", "type": "http in", "url": path, "method": "post"}
    line = [first, *steps, {"id": f"{name}-out", "type": "http response"}]
    wires = [[[after["id"]]] for after in line[1:]] + [[]]
    placed = [{**each, "z": name, "wires": wire} for each, wire in zip(line, wires, strict=True)]
    return [{"id": name, "type": "tab", "label": name}, *placed]
