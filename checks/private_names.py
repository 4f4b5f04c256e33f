"""Nothing in the tree names this machine: no package registry's host, no path of this checkout, no uv.lock.

The hosts are those that this machine's package tools are set up with, so that none needs to be named here.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 5_000_000
_HOST = re.compile(r"https?://(?:[^/@\s]*@)?([^/:\s\"'\]]+)")
_TOO_COMMON = {Path("/"), Path("/home"), Path("/srv"), Path("/opt"), Path("/tmp"), Path(tempfile.gettempdir())}


def registry_hosts() -> set[str]:
    """Hosts of the package registries that pip, uv, npm and apt would ask here."""
    texts = [value for name, value in os.environ.items() if re.match(r"(PIP|UV|npm_config)_", name, re.IGNORECASE)]
    texts.append(_output(sys.executable, "-m", "pip", "config", "list"))
    texts.append(_output(sys.executable, "-c", _PIP_DEFAULTS))
    texts.append(_output("npm", "config", "get", "registry"))
    for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")):
        texts.append(path.read_text(errors="replace") if path.is_file() else "")
    return {host for text in texts for host in _HOST.findall(text) if "." in host}


_PIP_DEFAULTS = """
from pip._internal.models.index import PyPI
print("https://" + PyPI.netloc, "https://" + PyPI.file_storage_domain)
"""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def tracked_files(root: Path) -> list[Path]:
    """Files that are in git, or would be with the next ``git add``."""
    listed = _output("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [root / name for name in listed.split("\0") if name]


def problems(root: Path, files: Iterable[Path], hosts: Iterable[str], machine_path: str) -> list[str]:
    """Where the tree names one of ``hosts`` or ``machine_path`` (empty: do not look for one)."""
    words = [(host, "names a package registry") for host in hosts]
    words += [(machine_path, "names a path of this machine")] if machine_path else []
    found: list[str] = []
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.name == "uv.lock":
            found.append(f"{name}: holds addresses of a registry; commit the exported requirements instead")
        elif path.is_file() and path.stat().st_size <= MAX_BYTES:
            text = path.read_bytes().decode("utf-8", "replace")
            found += [f"{name}: {what} ({word})" for word, what in words if word in text]
    return found


def main() -> int:
    """Report, and fail when something private is named."""
    parent = ROOT.parent
    found = problems(ROOT, tracked_files(ROOT), registry_hosts(), "" if parent in _TOO_COMMON else f"{parent}/")
    for problem in found:
        print(f"private names: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
