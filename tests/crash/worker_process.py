"""A worker in a process of its own, to be killed: ``python -m tests.crash.worker_process DSN FOLDER PAUSE``."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from tests.engine.harness import AgentPlans, Calls, make_services, plan_of, sub_agent
from treadle.engine import company
from treadle.engine.worker import Worker
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.sdk.context import Context

CHILD = plan_of(
    {"in": "input", "c1": "effect", "c2": "pure", "out": ("output", {"name": "value"})},
    ["in > c1", "c1 > c2", "c2 > out.value"],
    id="child",
)
MIX = plan_of(
    {
        "start": ("items", {"value": 3}),
        "add": "pure",
        "do": "effect",
        "fail": ("failing", {"value": "later", "seconds": 0.05}, NodePolicy(retry=RetryPolicy(3, 0.05))),
        "wait": ("timer", {"seconds": 1.2}),
        "sub": sub_agent("child"),
        "then": "effect",
        "out": ("output", {"name": "o"}),
    },
    ["start > add", "add > do", "do > sub.value", "sub > then", "then > out.value", "wait > fail.ignored"],
    id="mix",
)
"""Three values through pure blocks, effects and sub-agents; beside them a timer, and a failure that passes."""


LINE_END = " .\n"


class LoggedCalls(Calls):
    """Appends every effect to a file; one write each. A kill may cut one off where a page of memory ends."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def note(self, ctx: Context) -> None:
        os.write(self._file, f"{ctx.execution} {ctx.firing} {ctx.attempt} {ctx.node}{LINE_END}".encode())
        self.failures["fail"] = 1 if ctx.attempt == 1 else 0


async def serve(dsn: str, folder: Path) -> None:
    """Work until killed."""
    agents = AgentPlans()
    agents.plans["child"] = CHILD
    services = make_services(LoggedCalls(folder / "effects.log"), folder / "blobs", agents)
    worker = Worker(dsn, services, capacity=600)
    await worker.start()
    agents.store = worker.store
    await asyncio.Event().wait()


if __name__ == "__main__":
    company.PAUSE_SECONDS = float(sys.argv[3])
    logging.basicConfig(filename=Path(sys.argv[2]) / "worker.log", level=logging.WARNING)
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
