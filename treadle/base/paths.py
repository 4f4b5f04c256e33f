"""Where things are kept: the data folder, what lies inside it, and the files that ship with Treadle."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

import treadle
from treadle.base.errors import ConfigurationError

_LONGEST_SOCKET_FOLDER = 80
"""The system's limit for a socket's whole path is 104 bytes (macOS) or 108 (Linux)."""


def default_home() -> Path:
    """The platform's place for a person's data; for root a system folder, since other users cannot enter /root."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not os.environ.get("XDG_DATA_HOME"):
        return Path("/var/lib/treadle")
    from platformdirs import user_data_path  # noqa: PLC0415 (only needed when TREADLE_HOME is not set)

    return user_data_path("treadle", appauthor=False)


def ensure_folder(path: Path, mode: int = 0o700) -> Path:
    """Make the folder, with its parents; one that exists keeps its mode.

    Raises ConfigurationError when it cannot be made or written to.
    """
    try:
        if not path.is_dir():
            path.mkdir(mode=mode, parents=True, exist_ok=True)
            path.chmod(mode)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {path} cannot be made: {error.strerror}.",
            fix="Set TREADLE_HOME to a folder that this user may write to.",
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The folder {path} cannot be read and written by this user.",
            fix="Give this user the folder, or set TREADLE_HOME to another one.",
        )
    return path


def socket_folder(home: Path) -> Path:
    """A private folder with a path short enough for a Unix socket: in the data folder, else in the temporary one."""
    inside = home / "run"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_FOLDER:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"treadle-{digest}"


def ensure_private_folder(path: Path, owner: int) -> None:
    """Make a folder that only ``owner`` (a user id) may enter; refuse one that somebody else has put there.

    Raises ConfigurationError for a link, a file, or a folder that others own or may enter.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    trusted = found.st_uid in (owner, os.geteuid())
    if not stat.S_ISDIR(found.st_mode) or not trusted or found.st_mode & 0o077:
        raise ConfigurationError(
            f"{path} exists and is not a private folder of user {owner}.",
            fix=f"Remove {path}, or set TREADLE_HOME to a shorter path of your own.",
        )
    if found.st_uid != owner:
        os.chown(path, owner, -1)


def migrations_folder() -> Path:
    """The database migrations: beside the package in a checkout, inside it when installed."""
    package = Path(treadle.__file__).parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(
        f"The database migrations are missing beside {package}.",
        fix="Install Treadle again; the package is incomplete.",
    )
