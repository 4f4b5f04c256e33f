"""Small functions, small files: fails when the code under treadle/ outgrows its budget.

A function counts from its first line to its last, docstring included.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_CAP, FUNCTION_P95, FUNCTION_MEDIAN = 80, 45, 10
FILE_CAP = 600
FOLDERS = ("treadle", "tests", "checks", "scripts", "benchmarks")

EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""``path`` or ``path:function`` -> (its own cap, the reason why it is better in one piece)."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long something is, and how long it may be."""

    place: str
    lines: int
    cap: int

    @property
    def too_long(self) -> bool:
        return self.lines > self.cap


def measure(root: Path) -> tuple[list[Size], list[Size]]:
    """The files, and the functions of the product itself."""
    files: list[Size] = []
    functions: list[Size] = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            text = path.read_text(encoding="utf-8")
            files.append(_size(name, text.count("\n"), FILE_CAP))
            if folder == "treadle":
                functions += [
                    _size(f"{name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1, FUNCTION_CAP)
                    for node in ast.walk(ast.parse(text))
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                ]
    return files, functions


def _size(place: str, lines: int, cap: int) -> Size:
    return Size(place, lines, EXCEPTIONS.get(place, (cap, ""))[0])


def problems(files: list[Size], functions: list[Size]) -> list[str]:
    """What is over the budget, in words."""
    found = [f"{each.place}: {each.lines} lines, the cap is {each.cap}" for each in files + functions if each.too_long]
    p95 = percentile(functions, 0.95)
    if p95 > FUNCTION_P95:
        found.append(f"the 95th percentile of functions is {p95} lines, the cap is {FUNCTION_P95}")
    known = {each.place for each in files + functions}
    found += [f"{place}: listed as an exception, but not there any more" for place in EXCEPTIONS.keys() - known]
    return found


def percentile(functions: list[Size], share: float) -> int:
    """The length that this share of the functions stays under; 0 when there are none."""
    lengths = sorted(each.lines for each in functions)
    return lengths[int(len(lengths) * share)] if lengths else 0


def main() -> int:
    """Report, and fail when something is over the budget."""
    files, functions = measure(ROOT)
    median, p95 = percentile(functions, 0.5), percentile(functions, 0.95)
    print(f"sizes: {len(files)} files, {len(functions)} functions, median {median}, 95th percentile {p95}")
    if median > FUNCTION_MEDIAN:
        print(f"sizes: the median function is longer than {FUNCTION_MEDIAN} lines: not forbidden, but look")
    found = problems(files, functions)
    for problem in found:
        print(f"sizes: {problem}. Split it, or add it to EXCEPTIONS in checks/sizes.py with a reason.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
