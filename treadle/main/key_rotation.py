"""``treadle rotate-keys``: a new key for all stored secrets."""

import json as json_codec

from treadle.base.clock import SystemClock
from treadle.base.crypto import KeyRing, key_ring
from treadle.base.data_keys import SEALED_DATA_KEYS, load_data_keys, replace_lost_data_key
from treadle.base.database import connect, running_database
from treadle.base.ids import uuid7
from treadle.base.key_rotation import Rotation, rotate_keys
from treadle.base.migrations import migrate
from treadle.base.sessions import AccountsDatabase
from treadle.features.accounts.signing import SEALED_SIGNING_KEYS, SigningKeys
from treadle.features.accounts.storage import AccountStorage
from treadle.features.credentials.vault import SEALED_CREDENTIALS
from treadle.main.sessions import settings_of_person
from treadle.main.terminal import counted, err, out, print_json

SEALED_TABLES = (SEALED_DATA_KEYS, SEALED_CREDENTIALS, SEALED_SIGNING_KEYS)
"""Every table that holds what the ring has encrypted."""


_NOTE = "INSERT INTO audit_log (id, action, target, details) VALUES ($1, 'keys.rotated', $2, $3)"


async def rotate(*, lost: bool, json: bool) -> None:
    """Move all stored secrets to a new key, sign with a new one, and tell what was done.

    With ``lost`` a new data key takes the place of one that cannot be opened any more.

    Raises:
        KeyMissing: the data key cannot be opened, and it was not said that its key is lost.
    """
    settings = settings_of_person()
    ring = key_ring(settings)
    async with running_database(settings) as urls:
        await migrate(urls, settings)
        connection = await connect(urls.engine)
        try:
            if not lost:
                await load_data_keys(connection, ring)
            elif await replace_lost_data_key(connection, ring) and not json:
                err().print("Secret inputs have a new data key. Start every Treadle process again.", style="yellow")
            done = await rotate_keys(connection, ring, SEALED_TABLES)
            told = json_codec.dumps({"resealed": done.resealed, "dropped": done.dropped, "lost": lost})
            await connection.execute(_NOTE, uuid7(), done.key, told)
        finally:
            await connection.close()
        signing_key = await _exchange_signing_key(urls.auth, ring)
    if json:
        print_json({**{name: getattr(done, name) for name in Rotation.__slots__}, "signing_key": signing_key})
    else:
        _tell(done, signing_key, given=bool(settings.encryption_keys.get_secret_value()))


async def _exchange_signing_key(dsn: str, ring: KeyRing) -> str:
    """Sign access tokens with a new key from now on. Nobody has to sign in again."""
    database = AccountsDatabase(dsn)
    try:
        return await SigningKeys(AccountStorage(database), ring, SystemClock()).exchange()
    finally:
        await database.close()


def _tell(done: Rotation, signing_key: str, *, given: bool) -> None:
    console = out()
    console.print(f"A new key {signing_key} signs access tokens from now on.")
    console.print(f"{'A new key' if done.made else 'The key'} {done.key} encrypts from now on.")
    console.print(f"Encrypted anew: {counted(done.resealed, 'stored secret')}.")
    for id in done.dropped:
        gone = "is needed no more: take it out of TREADLE_ENCRYPTION_KEYS" if given else "was dropped"
        console.print(f"The key {id} {gone}. Backups that were made before still need it.")
    for row in done.damaged:
        err().print(f"Cannot be decrypted although its key is there: {row}. Enter it again.", style="red")
    for id, count in done.missing.items():
        err().print(
            f"{count} secrets need the key {id}, which is missing. Put it back, or enter them again.", style="red"
        )
