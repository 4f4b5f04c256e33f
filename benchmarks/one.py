"""One workload in this process: ``python -m benchmarks.one NAME HOME OUT [--quick]``. Writes its figures as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks.figures import Measured
from benchmarks.workloads import WORKLOADS


async def measure(name: str, home: Path, quick: bool) -> list[Measured]:
    """Run the workload."""
    return await WORKLOADS[name](home, quick)


def main(name: str, home: str, out: str, *options: str) -> None:
    """Run the workload and write what it measured."""
    measured = uvloop.run(measure(name, Path(home), "--quick" in options))
    Path(out).write_text(json.dumps([asdict(each) for each in measured]))


if __name__ == "__main__":
    main(*sys.argv[1:])
