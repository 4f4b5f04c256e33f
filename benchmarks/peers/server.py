"""A peer as a server: started, asked over HTTP, stopped."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.processes import pss, with_children

START_SECONDS = 180.0


class Refused(Exception):
    """The server did not answer as it should."""


def ask(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 120) -> Any:
    """Send JSON, get (status, JSON or text, headers). Raises Refused when nobody answers."""
    content = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, content, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, _parsed(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, _parsed(error.read()), error.headers
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise Refused(str(error)) from error


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def post(url: str, body: Any) -> Any:
    """The answer to a POST. Raises Refused unless it is good."""
    status, answer, _ = ask("POST", url, body)
    if status != 200:
        raise Refused(f"{url}: {status} {str(answer)[:200]}")
    return answer


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server with all its processes, until the context ends."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def seconds_until(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> float:
    """How long until it is ready. Raises Refused when that never comes."""
    began = time.perf_counter()
    while time.perf_counter() - began < START_SECONDS:
        with contextlib.suppress(Refused):
            if ready():
                return time.perf_counter() - began
        if process.poll() is not None:
            raise Refused(f"the server ended with {process.returncode}")
        time.sleep(0.02)
    raise Refused(f"not ready within {START_SECONDS:.0f} seconds")


def rates(url: str, body: Any, amount: int, times: int, *, result: int | None = None) -> list[float]:
    """Work per second of requests that do ``amount`` each, one after the other; the first two do not count.

    ``result`` is what ``n`` must have become. Raises Refused for any other answer: a quick failure is no speed.
    """
    values: list[float] = []
    for number in range(times + 2):
        began = time.perf_counter()
        answer = post(url, body)
        if result is not None and number_in(answer) != result:
            raise Refused(f"{url}: answered {str(answer)[:200]}")
        if number >= 2:
            values.append(amount / (time.perf_counter() - began))
    return values


def number_in(answer: Any) -> Any:
    """``n`` of the answer, which some give as a list of one object."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    return first.get("n") if isinstance(first, dict) else None


def together(url: str, body: Any, count: int, times: int) -> list[float]:
    """Seconds until ``count`` requests that were sent at once are all answered."""
    return asyncio.run(_together(url, body, count, times))


async def _together(url: str, body: Any, count: int, times: int) -> list[float]:
    values: list[float] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=300, trust_env=False) as client:
        for _ in range(times):
            began = time.perf_counter()
            answers = await asyncio.gather(*(client.post(url, json=body) for _ in range(count)))
            values.append(time.perf_counter() - began)
            if any(answer.status_code != 200 for answer in answers):
                raise Refused(f"{url}: not every request was answered")
    return values


def memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes (PSS) of all its processes."""
    return pss(with_children(process.pid))
