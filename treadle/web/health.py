"""Whether the server lives, and how what it needs answers; needs no token, and tells nothing else."""

import asyncio
import time
from collections.abc import Awaitable

import asyncpg
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from treadle.features.files.errors import ScannerUnavailable
from treadle.features.files.scanner import ScanPolicy
from treadle.web.bodies import Dependency, Health, Readiness
from treadle.web.site import Site, TheSite

_SECONDS = 2.0

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="get_health", response_model=Health, responses={503: {"model": Health}})
async def health(site: TheSite) -> JSONResponse:
    """Whether the server and its database answer."""
    alive = (await _database(site)).ok
    body = Health(status="ok" if alive else "degraded", version=site.version, database=alive)
    return JSONResponse(body.model_dump(), status_code=200 if alive else 503)


@router.get(
    "/health/ready", operation_id="get_readiness", response_model=Readiness, responses={503: {"model": Readiness}}
)
async def readiness(site: TheSite) -> JSONResponse:
    """Each thing that the server needs, and how long it took to answer."""
    database, worker, scanner = await asyncio.gather(_database(site), _worker(site), _scanner(site))
    found = {"database": database, "worker": worker, "scanner": scanner}
    ready = all(each.ok or not each.required for each in found.values())
    body = Readiness(status="ready" if ready else "not_ready", version=site.version, dependencies=found)
    return JSONResponse(body.model_dump(), status_code=200 if ready else 503)


async def _database(site: Site) -> Dependency:
    return await _asked(site.worker.pool.fetchval("SELECT true"), "The database does not answer.")


async def _worker(site: Site) -> Dependency:
    """Some process must run what is queued; this one need not be it."""
    alive = "SELECT true FROM workers WHERE expires_at > clock_timestamp() LIMIT 1"
    found = await _asked(site.worker.pool.fetchval(alive), "No worker runs what is queued.")
    return found.model_copy(update={"required": False})


async def _scanner(site: Site) -> Dependency:
    required = site.files.policy is ScanPolicy.REQUIRED
    if site.files.policy is ScanPolicy.OFF:
        return Dependency(ok=False, required=False, milliseconds=0, note="Uploads are not scanned: switched off.")
    note = "Uploads are refused: no virus scanner answers." if required else "Uploads are not scanned: none answers."
    return (await _asked(site.files.scanner.version(), note)).model_copy(update={"required": required})


async def _asked(question: Awaitable[object], otherwise: str) -> Dependency:
    begun = time.perf_counter()
    try:
        ok = bool(await asyncio.wait_for(question, _SECONDS))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ScannerUnavailable):
        ok = False
    spent = round((time.perf_counter() - begun) * 1000, 2)
    return Dependency(ok=ok, required=True, milliseconds=spent, note="" if ok else otherwise)
