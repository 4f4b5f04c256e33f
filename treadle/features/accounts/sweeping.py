"""What nobody can use any more of sessions, links, invitations, keys and counts goes.

The audit log keeps what happened: an API key's name and scopes stand there, under its id, since it was made.
"""

from datetime import timedelta

import asyncpg

from treadle.base.database import connect
from treadle.features.accounts.sessions import IDLE

KEPT = timedelta(days=30)
"""For how long what has ended can still be looked at."""
_LINKS_KEPT = timedelta(days=1)
"""After they have run out: until then a code that is used again must be known as used."""
_COUNTS_KEPT = timedelta(days=1)
"""Every bucket has filled itself again by then."""
API_KEYS_KEPT = timedelta(days=90)
"""After they have been revoked or have run out: whoever looks into what was done with one finds its row until then."""
SIGNING_KEYS_KEPT = timedelta(days=1)
"""After they were retired: what they have signed has run out within two hours, and their private half is of no use."""
_SWEEPS = (
    ("DELETE FROM sessions WHERE ended_at < now() - $1::interval", KEPT),
    # Nobody can carry them on; the tokens that they have given out have run out within an hour.
    ("DELETE FROM sessions WHERE ended_at IS NULL AND refreshed_at < now() - $1::interval", IDLE + KEPT),
    # A copy of a used one ends its session; what is older than a session may be idle is no sign of anything any more.
    ("DELETE FROM refresh_tokens WHERE used_at < now() - $1::interval", IDLE + KEPT),
    ("DELETE FROM one_time_tokens WHERE expires_at < now() - $1::interval", _LINKS_KEPT),
    ("DELETE FROM invitations WHERE coalesce(accepted_at, revoked_at, expires_at) < now() - $1::interval", KEPT),
    ("DELETE FROM api_keys WHERE coalesce(revoked_at, expires_at) < now() - $1::interval", API_KEYS_KEPT),
    ("DELETE FROM signing_keys WHERE retired_at < now() - $1::interval", SIGNING_KEYS_KEPT),
    ("DELETE FROM throttles WHERE updated_at < now() - $1::interval", _COUNTS_KEPT),
)


async def sweep_accounts(dsn_auth: str) -> int:
    """Remove it, as the role that alone may touch accounts; how many rows."""
    connection: asyncpg.Connection = await connect(dsn_auth)
    try:
        return sum([int((await connection.execute(sweep, age)).split()[-1]) for sweep, age in _SWEEPS])
    finally:
        await connection.close()
