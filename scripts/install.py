"""Makes ``.venv`` hold exactly what a lock file names, and Treadle itself.

Usage: ``python scripts/install.py requirements.lock`` (or ``requirements-dev.lock``). Standard library only, and in
words that any Python since 3.6 reads, so that one which is too old can say so.
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "treadle-installed"
"""Holds a digest of each lock that is installed."""
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = (20, 19)


def main(lock: str) -> None:
    """Check the machine, then install what is not installed yet."""
    check_python()
    check_node()
    make_venv()
    if digest(lock) not in installed():
        install(lock)
        compile_code(VENV / "lib")
        remember(lock)
    if sys.dont_write_bytecode:
        compile_code(ROOT / "treadle", ROOT / "migrations")


def fail(message: str) -> None:
    """End with one sentence that says what is wrong and what to do."""
    sys.exit(f"Treadle: {message}")


def check_python() -> None:
    """This Python is new enough."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found = f"Python {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
        fail(f"{found} is too old: install Python 3.11 or newer, or name one with `make up PYTHON=...`.")


def check_node() -> None:
    """Node is there and new enough."""
    try:
        text = subprocess.check_output(["node", "--version"], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        text = ""
    found = re.match(r"v(\d+)\.(\d+)", text)
    if found is None:
        fail("Node was not found: install Node 20.19 or newer, and see that `node --version` prints it.")
    elif (int(found.group(1)), int(found.group(2))) < OLDEST_NODE:
        fail(f"Node {text} is too old: install Node 20.19 or newer.")


def make_venv() -> None:
    """A virtual environment whose Python still works and is new enough."""
    check = f"import sys, pip; sys.exit(sys.version_info[:2] < {OLDEST_PYTHON})"
    if PYTHON.exists() and subprocess.call([str(PYTHON), "-c", check], stderr=subprocess.DEVNULL) == 0:
        return
    try:
        import ensurepip  # noqa: F401, PLC0415  Debian's Python has it in a package of its own
    except ImportError:
        fix = "install its venv package (on Debian and Ubuntu: apt install python3-venv)"
        fail(f"this Python ({sys.executable}) cannot make virtual environments: {fix}.")
    say(f"making .venv with {sys.executable}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) != 0:
        fail(f"`{sys.executable} -m venv .venv` failed (see above): mend that Python, or name another with PYTHON=...")


def install(lock: str) -> None:
    """What the lock names, each file checked against its hash; then Treadle itself, in place."""
    say(f"installing what {lock} names (about half a minute, once)")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    locked = [*pip, "--no-compile", "--require-hashes", "--requirement", str(ROOT / lock)]
    itself = [*pip, "--no-build-isolation", "--editable", str(ROOT)]
    for command in (locked, itself):
        if subprocess.call(command) != 0:
            fail("installing failed (see above): check the network, or your pip configuration, and run it again.")


def compile_code(*folders: Path) -> None:
    """Write the bytecode now, on all cores: a start without it takes a second longer.

    Python writes it at the first start, but not where PYTHONDONTWRITEBYTECODE is set, as in many containers. What is
    no Python in some package's folder of templates is passed over.
    """
    subprocess.call([str(PYTHON), "-m", "compileall", "-qq", "-j", "0", *map(str, folders)])


def digest(lock: str) -> str:
    """Changes when the lock, the project's own metadata, or the Python does."""
    state = hashlib.sha256(sys.version.encode())
    for name in (lock, "pyproject.toml"):
        state.update((ROOT / name).read_bytes())
    return f"{lock} {state.hexdigest()}"


def installed() -> "list[str]":
    """Digests of what is installed."""
    return STAMP.read_text().splitlines() if STAMP.exists() else []


def remember(lock: str) -> None:
    """The development lock holds everything that the other one does, so it stands for both."""
    locks = ["requirements.lock", lock] if lock == "requirements-dev.lock" else [lock]
    STAMP.write_text("\n".join(digest(each) for each in locks) + "\n")


def say(text: str) -> None:
    """One line for people."""
    print(f"Treadle: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
