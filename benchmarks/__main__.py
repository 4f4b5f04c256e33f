"""``python -m benchmarks [NAME...] [--quick] [--peers]``."""

import argparse
import signal
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.machine import this_machine
from benchmarks.peers.measure import measure_peers, remember, remembered
from benchmarks.runner import bench_folder, run_workload
from benchmarks.table import Report, show, write_json
from benchmarks.workloads import WORKLOADS

LATEST = Path(__file__).parent / "latest.json"


def arguments(given: list[str]) -> argparse.Namespace:
    """What was asked for. Ends the program on names that do not exist."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Treadle on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"workloads: {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs: to see that all works")
    parser.add_argument(
        "--peers", action="store_true", help="measure Node-RED and n8n here too; installs them with npm"
    )
    found = parser.parse_args(given)
    unknown = [name for name in found.names if name not in WORKLOADS]
    if unknown:
        parser.error(f"there is no workload {', '.join(unknown)}; choose from {', '.join(WORKLOADS)}")
    return found


def main(given: list[str]) -> int:
    """Measure, print, and keep the figures; 1 when a workload gave none."""
    wanted = arguments(given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    with bench_folder() as folder:
        report = Report(this_machine(folder))
        try:
            measure(wanted, folder, report)
        except KeyboardInterrupt:
            report.problems["the rest"] = "interrupted"
    report.peers_here = remembered()
    report.add_differences()
    show(report, Console())
    write_json(report, LATEST)
    return 1 if report.problems else 0


def measure(wanted: argparse.Namespace, folder: Path, report: Report) -> None:
    """Run what is wanted; the report grows with each workload."""
    progress = partial(Console(stderr=True).print, highlight=False)
    for name in wanted.names or WORKLOADS:
        progress(f"measuring {name} ...")
        outcome = run_workload(name, folder, wanted.quick)
        report.measured += outcome.measured
        report.others[name] = outcome.others
        if outcome.problem:
            report.problems[name] = outcome.problem
    if wanted.peers:
        remember(measure_peers(folder, wanted.quick, progress))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
