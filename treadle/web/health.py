"""Whether the server lives; needs no token, and tells nothing else."""

import asyncio

import asyncpg
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from treadle.web.bodies import Health
from treadle.web.site import TheSite

_DATABASE_SECONDS = 2.0

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="get_health", response_model=Health, responses={503: {"model": Health}})
async def health(site: TheSite) -> JSONResponse:
    """Whether the server and its database answer."""
    alive = await _database_answers(site.worker.pool)
    body = Health(status="ok" if alive else "degraded", version=site.version, database=alive)
    return JSONResponse(body.model_dump(), status_code=200 if alive else 503)


async def _database_answers(pool: asyncpg.Pool) -> bool:
    try:
        return await asyncio.wait_for(pool.fetchval("SELECT true"), _DATABASE_SECONDS) is True
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
