"""n8n with SQLite: a webhook, Set nodes with an expression that adds one, the last node's data as the answer."""

import itertools
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.install import N8N, installed, node
from benchmarks.peers.server import Refused, ask, memory, number_in, rates, running, seconds_until, together

_OWNER = {"email": "bench@example.com", "firstName": "Bench", "lastName": "Mark", "password": "Measure-12345"}


def measure(folder: Path, slow_port: int, port: int, quick: bool, engine: str = "") -> dict[str, list[float]]:
    """Values by row; ``engine`` chooses n8n's expression engine. Raises Refused or RuntimeError."""
    base = f"http://127.0.0.1:{port}"
    command = [str(node()), str(installed(N8N)), "start"]
    environment = _environment(folder, port, engine)
    with running(command, environment, folder) as process:
        seconds_until(lambda: _api_answers(base), process)
        time.sleep(2)
        _deploy(base, slow_port)
        seconds_until(lambda: _ready(base), process)
    starts, idle = [], []
    for _ in range(1 if quick else 2):
        with running(command, environment, folder) as process:
            starts.append(seconds_until(lambda: _ready(base), process))
            time.sleep(5)
            idle.append(memory(process))
    with running(command, environment, folder) as process:
        return {"start-warm": starts, "idle-memory": idle, **_work(base, process, quick)}


def _environment(folder: Path, port: int, engine: str) -> dict[str, str]:
    chosen = {"N8N_EXPRESSION_ENGINE": engine} if engine else {}
    return {
        **chosen,
        "N8N_PORT": str(port),
        "N8N_RUNNERS_BROKER_PORT": str(port + 1),
        "N8N_LISTEN_ADDRESS": "127.0.0.1",
        "N8N_USER_FOLDER": str(folder),
        "N8N_DIAGNOSTICS_ENABLED": "false",
        "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
        "N8N_TEMPLATES_ENABLED": "false",
        "N8N_PERSONALIZATION_ENABLED": "false",
        "N8N_SECURE_COOKIE": "false",
        "N8N_LOG_LEVEL": "warn",
        "NODE_ENV": "production",
    }


def _api_answers(base: str) -> bool:
    status, answer, _ = ask("GET", f"{base}/rest/settings", timeout=5)
    return status == 200 and isinstance(answer, dict) and "data" in answer


def _ready(base: str) -> bool:
    """While n8n starts it answers every webhook with a text and status 200: only the sum tells."""
    return bool(number_in(ask("POST", f"{base}/webhook/chain10", {"n": 0}, timeout=10)[1]) == 10)


def _serves(hook: str) -> bool:
    status, answer, _ = ask("POST", hook, {"n": 0, "items": [{"n": 0}]}, timeout=10)
    return status == 200 and not isinstance(answer, str)


def _deploy(base: str, slow_port: int) -> None:
    headers = {"browser-id": "bench"}
    status, answer, found = ask("POST", f"{base}/rest/owner/setup", _OWNER, headers)
    if status != 200:
        raise RuntimeError(f"n8n did not make its owner: {answer}")
    cookies = [each.split(";")[0] for each in found.get_all("set-cookie") or [] if each.startswith("n8n-auth")]
    headers["Cookie"] = cookies[0]
    for workflow in workflows(slow_port):
        status, answer, _ = ask("POST", f"{base}/rest/workflows", workflow, headers)
        if status not in (200, 201):
            raise RuntimeError(f"n8n did not take {workflow['name']}: {str(answer)[:200]}")
        made = answer["data"]
        url = f"{base}/rest/workflows/{made['id']}/activate"
        status, answer, _ = ask("POST", url, {"versionId": made["versionId"]}, headers)
        if status != 200:
            raise RuntimeError(f"n8n did not activate {workflow['name']}: {str(answer)[:200]}")


def _work(base: str, process: subprocess.Popen[bytes], quick: bool) -> dict[str, list[float]]:
    seconds_until(lambda: _ready(base), process)
    hooks = f"{base}/webhook"
    times = 3 if quick else 7
    found: dict[str, list[float]] = {}
    for length in (10, 100, 1000):
        try:
            found[f"chain-{length}"] = rates(f"{hooks}/chain{length}", {"n": 0}, length, times, result=length)
        except Refused:  # its default engine fails at times with the longest chain: then there is no figure
            continue
    for hook in ("items", "slow"):  # after a chain that its default engine cannot run, they come back one by one
        seconds_until(partial(_serves, f"{hooks}/{hook}"), process)
    items = [{"n": number} for number in range(1_000)]
    found["items-1000"] = rates(f"{hooks}/items", {"items": items}, 3_000, 3)
    found["waits-200"] = together(f"{hooks}/slow", {"n": 0}, 200, 3)
    return found


def workflows(slow_port: int) -> list[dict[str, Any]]:
    """All that is deployed."""
    chains = [
        _line(f"chain{length}", [(f"s{i}", _add("$json.body.n" if i == 0 else "$json.n")) for i in range(length)])
        for length in (10, 100, 1000)
    ]
    get = {
        "parameters": {"url": f"http://127.0.0.1:{slow_port}/", "options": {}},
        "type": "n8n-nodes-base.httpRequest",
        "typeVersion": 4.2,
    }
    return [*chains, _loop(), _line("slow", [("get", get)])]


def _loop() -> dict[str, Any]:
    """Each item passes three nodes by itself, as it does in Treadle."""
    names = ["s0", "s1", "s2"]
    loop = _node("splitInBatches", 3, {"options": {}, "batchSize": 1})
    steps = [
        ("split", _node("splitOut", 1, {"fieldToSplitOut": "body.items", "options": {}})),
        ("loop", loop),
        *((name, _add("$json.n")) for name in names),
        ("end", _node("noOp", 1, {})),
    ]
    workflow = _line("items", steps)
    # The loop's first output is for when all are through, its second for the next item.
    workflow["connections"]["loop"] = {"main": [[_to("end")], [_to("s0")]]}
    workflow["connections"]["s2"] = {"main": [[_to("loop")]]}
    return workflow


def _add(what: str) -> dict[str, Any]:
    assignment = {"id": "a", "name": "n", "value": f"={{{{ {what} + 1 }}}}", "type": "number"}
    return _node("set", 3.4, {"assignments": {"assignments": [assignment]}, "options": {}})


def _node(kind: str, version: float, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": parameters, "type": f"n8n-nodes-base.{kind}", "typeVersion": version}


def _line(name: str, steps: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """A webhook of that name, and the steps one after the other."""
    hook = _node("webhook", 2, {"httpMethod": "POST", "path": name, "responseMode": "lastNode", "options": {}})
    nodes = [("hook", {**hook, "webhookId": name}), *steps]
    placed = [{"id": f"{name}-{i}", "name": at, "position": [i * 200, 0], **node} for i, (at, node) in enumerate(nodes)]
    pairs = itertools.pairwise(nodes)
    connections = {one: {"main": [[_to(after)]]} for (one, _), (after, _) in pairs}
    settings = {"executionOrder": "v1"}
    return {"name": name, "nodes": placed, "connections": connections, "settings": settings, "active": False}


def _to(name: str) -> dict[str, Any]:
    return {"node": name, "type": "main", "index": 0}
