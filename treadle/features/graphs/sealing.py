"""Versions of agents that an early release saved with their secrets in the open: encrypted when Treadle starts.

Each batch is a transaction, and what is done is marked, so that a kill loses nothing and the next start goes on there.
"""

import logging
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from treadle.features.graphs.service import Graphs

_BATCH = 100
_EARLIER = (
    "SELECT workspace_id, id, version FROM graphs WHERE NOT sealed AND (workspace_id, id, version) > ($1, $2, $3)"
    " ORDER BY workspace_id, id, version LIMIT $4"
)
_log = logging.getLogger(__name__)


async def seal_earlier_versions(pool: asyncpg.Pool, graphs: "Graphs", batch: int = _BATCH) -> int:
    """Encrypt them; in how many versions there was something. Of several processes each does what is left."""
    sealed = 0
    done: tuple[WorkspaceId, str, int] = (WorkspaceId(UUID(int=0)), "", 0)
    while rows := await pool.fetch(_EARLIER, *done, batch):
        for workspace, versions in groupby(rows, key=lambda row: WorkspaceId(row["workspace_id"])):
            sealed += await graphs.seal_earlier(workspace, [(row["id"], row["version"]) for row in versions])
        done = (WorkspaceId(rows[-1]["workspace_id"]), rows[-1]["id"], rows[-1]["version"])
    if sealed:
        _log.info("encrypted the secrets of agents that were saved in the open", extra={"versions": sealed})
    return sealed
