"""The keys that encrypt secret inputs: kept in the database, each encrypted by the ring of the install.

Tokens of secret inputs lie in journals, plans and stored values, which never change. So the ring's keys do not encrypt
them directly: when the ring gets a new key, the few data keys are encrypted anew and every token stays as it is.
"""

import os
from dataclasses import dataclass

from treadle.base.crypto import HOLD_KEYS, KeyRing, RingKey, SealedTable, key_id
from treadle.base.database import Connection

SEALED_DATA_KEYS = SealedTable("data_keys", ("generation",))
_BYTES = 64
_ALL = "SELECT generation, id, ciphertext, key_id FROM data_keys ORDER BY generation DESC"
_ADD = """
INSERT INTO data_keys (generation, id, ciphertext, key_id)
SELECT coalesce(max(generation), 0) + 1, $2, $3, $4 FROM data_keys HAVING coalesce(max(generation), 0) = $1
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """A data key, still encrypted."""

    generation: int
    id: str
    ciphertext: bytes

    def material(self, ring: KeyRing) -> bytes:
        """The key itself. Raises ``KeyMissing`` when the ring's key that encrypts it is not there."""
        return ring.open(self.ciphertext, SEALED_DATA_KEYS.binding(self.generation))


async def load_data_keys(connection: Connection, ring: KeyRing) -> list[DataKey]:
    """The data keys of a database, the one that encrypts first; it is made when there is none.

    ``connection`` is the engine's.

    Raises:
        KeyMissing: the first one cannot be opened. Nothing is made or changed then.
    """
    rows = await connection.fetch(_ALL)
    if not rows:
        await _add(connection, ring, after=0)
        rows = await connection.fetch(_ALL)
    ring.require([rows[0]["key_id"]])
    return [DataKey(row["generation"], row["id"], row["ciphertext"]) for row in rows]


async def replace_lost_data_key(connection: Connection, ring: KeyRing) -> bool:
    """Make a new data key when the one that encrypts cannot be opened any more; whether one was made.

    The lost one is kept: what it has encrypted can be read again if the ring's key is found.
    """
    newest = await connection.fetchrow(_ALL)
    if newest is None or newest["key_id"] in ring.ids():
        return False
    await _add(connection, ring, after=newest["generation"])
    return True


async def _add(connection: Connection, ring: KeyRing, *, after: int) -> None:
    """Make the data key that follows the generation ``after``, unless another process has just made one."""
    async with connection.transaction():
        await connection.execute(HOLD_KEYS)
        material = (ring.bare_key() if after == 0 else None) or os.urandom(_BYTES)
        sealed = ring.seal(material, SEALED_DATA_KEYS.binding(after + 1))
        await connection.execute(_ADD, after, RingKey(material).id, sealed, key_id(sealed))
