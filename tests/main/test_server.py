"""``treadle up``, ``down`` and ``executor`` as real processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.main.installs import ASKING, GREETING, OUTPUT, TIMER, agent, written
from tests.main.servers import SECONDS, Server, environment, started, treadle

ROOT = Path(__file__).resolve().parents[2]
SOON = agent(
    {"timer": (TIMER, {"input_message": "late", "seconds": 4}), "out": (OUTPUT, {"name": "message"})},
    [("timer", "output_message", "out", "value")],
    name="soon",
)


def _execute(server: Server, document: dict[str, Any], inputs: dict[str, Any], wait: int) -> httpx.Response:
    graph = server.call("POST", "/api/v2/builder/graphs", json=document).json()["id"]
    path = f"/api/v2/builder/graphs/{graph}/execute?wait={wait}"
    return server.call("POST", path, json={"input_data": inputs})


def test_a_server_starts_runs_agents_refuses_strangers_and_stops(home: Path) -> None:
    with started(home) as server:
        assert server.call("GET", "/health").json()["database"] is True
        answer = _execute(server, GREETING, {"who": "Ann"}, 30)
        assert answer.status_code == 200
        assert answer.json()["outputs"] == [{"name": "greeting", "value": "Hello Ann!"}]
        assert server.call("GET", "/api/v2/executions", headers={"Host": "evil.test"}).status_code == 421
        assert httpx.get(f"http://127.0.0.1:{server.port}/api/v2/executions", trust_env=False).status_code == 401
        large = server.call("POST", "/api/v2/builder/graphs", content=_endless())
        assert large.status_code == 413
        second = treadle(home, "up")
        assert second.returncode == 2
        assert f"already running at http://127.0.0.1:{server.port}" in second.stderr
        assert server.end(signal.SIGINT) == 0
    log = (home / "up.log").read_text()
    assert "Traceback" not in log
    assert log.count(server.token) == 1  # shown once, never logged
    assert not (home / "server.json").exists()


def _endless() -> Iterator[bytes]:
    """A body of 26 MB that does not say how long it is."""
    for _ in range(26):
        yield b"[" * 1_000_000


def test_what_ran_when_the_server_was_killed_ends_at_the_next_start(home: Path) -> None:
    with started(home) as server:
        answer = _execute(server, SOON, {}, 0)
        assert answer.status_code == 202
        server.end(signal.SIGKILL)
    with started(home) as server:
        path = f"/api/v2/executions/{answer.json()['execution_id']}"
        deadline = time.monotonic() + SECONDS
        while (run := server.call("GET", path).json())["status"] not in ("COMPLETED", "FAILED"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert run["outputs"] == [{"name": "message", "value": "late"}]
        stopped = treadle(home, "down")
        assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
        assert server.process.wait(SECONDS) == 0
    assert treadle(home, "down").stdout == "Nothing is running with this data folder.\n"


def test_what_a_killed_server_leaves_running_can_be_stopped(home: Path) -> None:
    with started(home) as server:
        server.end(signal.SIGKILL)
    assert treadle(home, "down").stdout == "Stopped the database that a killed Treadle had left running.\n"
    assert treadle(home, "down").stdout == "Nothing is running with this data folder.\n"
    with started(home) as again:
        assert again.call("GET", "/api/v2/builder/graphs").status_code == 200


def test_an_executor_goes_on_with_what_was_decided_and_leaves_on_request(home: Path, tmp_path: Path) -> None:
    id = json.loads(treadle(home, "run", written(tmp_path, ASKING), "--json").stdout)["id"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "treadle.main.cli", "executor"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdout is not None
    with worker.stdout:
        assert "runs what is queued" in worker.stdout.readline()
        assert treadle(home, "decide", id, "2", "--approve").stdout == "Approved.\n"
        assert json.loads(treadle(home, "show", id, "--json").stdout)["status"] == "COMPLETED"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(SECONDS) == 0
        assert worker.stdout.read() == "Stopped.\n"


def test_control_c_stops_a_run_that_a_person_watches(home: Path, tmp_path: Path) -> None:
    waiting = agent({"t": (TIMER, {"input_message": "late", "hours": 1})})
    process = subprocess.Popen(
        [sys.executable, "-m", "treadle.main.cli", "run", written(tmp_path, waiting), "--json"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "waits until" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, json.loads(out)["status"]) == (1, "TERMINATED")
    assert "Traceback" not in err


async def test_who_sends_too_much_hears_why_and_not_that_the_connection_broke(home: Path) -> None:
    with started(home) as server:
        token = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
        for headers, size, expected in ((token, 26_000_000, 413), ({"Authorization": "Bearer x"}, 10_000_000, 401)):
            async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as http:
                path = f"{server.url}/api/v2/builder/graphs"
                for _ in range(3):
                    answer = await http.post(path, content=b" " * size, headers=headers)
                    assert answer.status_code == expected
