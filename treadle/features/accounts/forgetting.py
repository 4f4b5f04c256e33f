"""Away with what is good for nothing any more: links, codes and states that have run out, and old counts of tries."""

import asyncpg

_LINKS = "DELETE FROM one_time_tokens WHERE expires_at < now() - interval '1 day'"
_TRIES = "DELETE FROM throttles WHERE updated_at < now() - interval '1 day'"
"""After a day every limit has filled up again."""


async def forget_spent(auth_url: str) -> None:
    """Remove them, as the role that alone may touch them."""
    connection = await asyncpg.connect(auth_url)
    try:
        await connection.execute(_LINKS)
        await connection.execute(_TRIES)
    finally:
        await connection.close()
