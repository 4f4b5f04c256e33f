"""One sandbox: made or taken up again, given code to run, and thrown away.

Sandboxes are managed over E2B's API. Code goes to the code interpreter inside (port 49999 of the sandbox's own host),
which answers with one JSON object per line; the form was read from E2B's open-source code interpreter.
"""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.integrations.e2b.manifest import INTEGRATION
from treadle.sdk.client import Client, delete, post, refusal
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused

TEMPLATE = "code-interpreter-v1"
DOMAIN = "e2b.app"
PORT = 49999
LANGUAGES = {"js": "javascript"}
"""The interpreter's names, where they differ from the pins' values."""

FORMATS = (
    *("text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json", "javascript", "data", "chart"),
    "extra",
)
CREATE = post("/sandboxes", body={"templateID": "{template}", "timeout": "{timeout}", "secure": True})
CONNECT = post("/sandboxes/{id}/connect", body={"timeout": "{timeout}"})
KILL = delete("/sandboxes/{id}")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


@dataclass(slots=True)
class Execution:
    """What came out of running code."""

    results: list[dict[str, Any]] = field(default_factory=list)
    main: dict[str, Any] | None = None
    stdout: str = ""
    stderr: str = ""

    def outputs(self, *names: str) -> list[tuple[str, Any]]:
        """The outputs of these names that have something in them."""
        everything = {
            "main_result": self.main,
            "results": self.results,
            "response": (self.main or {}).get("text"),
            "stdout_logs": self.stdout,
            "stderr_logs": self.stderr,
        }
        return [(name, everything[name]) for name in names if everything[name]]


class Sandbox:
    """A running sandbox."""

    def __init__(self, ctx: Context, described: Mapping[str, Any]) -> None:
        self.id = str(described["sandboxID"])
        self._ctx = ctx
        self._host = f"{PORT}-{self.id}.{_domain(described)}"
        tokens = {"X-Access-Token": "envdAccessToken", "E2B-Traffic-Access-Token": "trafficAccessToken"}
        self._headers = {name: described[key] for name, key in tokens.items() if described.get(key)}

    async def run(self, code: str, language: str, seconds: float) -> Execution:
        """Run code and wait for its end, at most ``seconds``.

        Raises:
            BlockError: the code failed; the message has its traceback.
            RetryLater: the sandbox does not answer.
        """
        reply = await self._ctx.http.request(
            "POST",
            f"https://{self._host}/execute",
            headers=self._headers,
            json={"code": code, "language": LANGUAGES.get(language, language)},
            timeout=seconds,
        )
        if reply.status != 200:
            raise refusal(INTEGRATION, "POST /execute", reply, self._ctx.clock.now())
        return read_execution(reply.text())

    async def set_up(self, commands: Sequence[str], seconds: float) -> None:
        """Run shell commands one after the other; the first that fails ends it. Raises as ``run`` does."""
        for command in commands:
            await self.run(command, "bash", seconds)

    async def kill(self) -> None:
        """Throw the sandbox away. If that fails it goes by itself when its time is up."""
        with contextlib.suppress(BlockError):
            await Client(INTEGRATION, self._ctx).call(KILL, {"id": self.id})


async def create(ctx: Context, template: str, seconds: int) -> Sandbox:
    """A new sandbox that lives for ``seconds``."""
    values = {"template": template or TEMPLATE, "timeout": seconds}
    return Sandbox(ctx, await Client(INTEGRATION, ctx).call(CREATE, values))


async def connect(ctx: Context, sandbox_id: str, seconds: int) -> Sandbox:
    """The sandbox with this id, taken up again for ``seconds`` more.

    Raises:
        InputRefused: that is no id.
    """
    if not _ID.fullmatch(sandbox_id):
        raise InputRefused({"sandbox_id": f"{sandbox_id[:100]!r} is not the id of a sandbox"})
    return Sandbox(ctx, await Client(INTEGRATION, ctx).call(CONNECT, {"id": sandbox_id, "timeout": seconds}))


@contextlib.asynccontextmanager
async def disposed(sandbox: Sandbox, dispose: bool) -> AsyncIterator[Sandbox]:
    """The sandbox, thrown away at the end when ``dispose`` says so."""
    try:
        yield sandbox
    finally:
        if dispose:
            await sandbox.kill()


def read_execution(lines: str) -> Execution:
    """What the interpreter's answer says, line by line.

    Raises:
        BlockError: it says that the code failed.
    """
    execution = Execution()
    for event in map(_event, filter(str.strip, lines.splitlines())):
        match event.get("type"):
            case "result":
                _add_result(execution, event)
            case "stdout":
                execution.stdout += event["text"]
            case "stderr":
                execution.stderr += event["text"]
            case "error":
                _fail(execution, event)
    return execution


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise BlockError("The sandbox's answer cannot be read", fix="Try again later.")
    return event


def _add_result(execution: Execution, event: Mapping[str, Any]) -> None:
    result = {name: event[name] for name in FORMATS if event.get(name) is not None}
    execution.results.append(result)
    if event.get("is_main_result"):
        execution.main = result


def _fail(execution: Execution, event: Mapping[str, Any]) -> None:
    trace = event.get("traceback") or ""
    text = trace if isinstance(trace, str) else "\n".join(trace)
    parts = (f"{event.get('name')}: {event.get('value')}", text, execution.stderr)
    raise BlockError("\n".join(part for part in parts if part), fix="Correct the code.")


def _domain(described: Mapping[str, Any]) -> str:
    """Where the sandbox's host is; only ever below E2B's own domains, whatever a reply says."""
    domain = str(described.get("domain") or DOMAIN)
    if not _ID.fullmatch(str(described["sandboxID"])) or domain not in (DOMAIN, "e2b.dev"):
        raise BlockError(f"E2B named an unknown place for the sandbox: {domain[:100]}", fix="Update Treadle.")
    return domain
