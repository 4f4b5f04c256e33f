"""The keys of secret inputs: one for each database, made once, kept encrypted; and tokens made with them."""

import asyncio
import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from treadle.base.crypto import FILE, FileKeys, GivenKeys, KeyMissing, KeyRing, RingKey
from treadle.base.data_keys import DataKey, load_data_keys, replace_lost_data_key
from treadle.base.database import DatabaseUrls, connect
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId, uuid7
from treadle.engine.secrets import FiringSecrets
from treadle.features.credentials.seals import KeySeals

OTHERS = WorkspaceId(uuid7())


def file_ring(home: Path) -> KeyRing:
    return KeyRing(FileKeys(home / FILE))


async def loaded(urls: DatabaseUrls, ring: KeyRing) -> list[DataKey]:
    connection = await connect(urls.engine)
    try:
        return await load_data_keys(connection, ring)
    finally:
        await connection.close()


async def seals_of(urls: DatabaseUrls, ring: KeyRing) -> KeySeals:
    return KeySeals(await loaded(urls, ring), ring)


async def lost(urls: DatabaseUrls, ring: KeyRing) -> bool:
    connection = await connect(urls.engine)
    try:
        return await replace_lost_data_key(connection, ring)
    finally:
        await connection.close()


async def test_processes_that_start_at_once_share_one_data_key(database: DatabaseUrls, tmp_path: Path) -> None:
    found = await asyncio.gather(*(loaded(database, file_ring(tmp_path)) for _ in range(8)))
    assert len({tuple(key.id for key in keys) for keys in found}) == 1 and len(found[0]) == 1


async def test_a_token_opens_in_its_own_workspace_only(database: DatabaseUrls, tmp_path: Path) -> None:
    seals = await seals_of(database, file_ring(tmp_path))
    token = seals.sealed(LOCAL_WORKSPACE, "päss\ud800")
    assert seals.sealed(LOCAL_WORKSPACE, "päss\ud800") == token != seals.sealed(OTHERS, "päss\ud800")
    assert seals.opened(LOCAL_WORKSPACE, token) == "päss\ud800"
    assert seals.opened(OTHERS, token) is None
    assert (await seals_of(database, file_ring(tmp_path))).opened(LOCAL_WORKSPACE, token) == "päss\ud800"
    assert seals.opened(LOCAL_WORKSPACE, token[:-3] + "AA.") is None


@pytest.mark.parametrize("body", ["A", "", base64.urlsafe_b64encode(bytes(40)).decode().rstrip("=")])
async def test_texts_that_look_like_tokens_stay_texts(database: DatabaseUrls, tmp_path: Path, body: str) -> None:
    seals = await seals_of(database, file_ring(tmp_path))
    forged = f"treadle-secret.{body}."
    assert seals.opened(LOCAL_WORKSPACE, forged) is None
    secrets = FiringSecrets(seals, LOCAL_WORKSPACE)
    assert secrets.opened({"a": [forged]}) == {"a": [forged]} and not secrets.problem


async def test_tokens_made_under_a_bare_key_still_open(database: DatabaseUrls, tmp_path: Path) -> None:
    bare = os.urandom(64)
    (tmp_path / FILE).write_bytes(bare)
    (tmp_path / FILE).chmod(0o600)
    cipher = AESSIV(bare).encrypt(b"old secret", [LOCAL_WORKSPACE.bytes])
    token = f"treadle-secret.{base64.urlsafe_b64encode(cipher).decode().rstrip('=')}."
    seals = await seals_of(database, file_ring(tmp_path))
    assert seals.opened(LOCAL_WORKSPACE, token) == "old secret"
    assert seals.opened(OTHERS, token) is None
    rotated = FileKeys(tmp_path / FILE)
    rotated.replace([RingKey.new(), *rotated.read()])
    assert (await seals_of(database, KeyRing(rotated))).opened(LOCAL_WORKSPACE, token) == "old secret"


async def test_another_key_than_the_databases_stops_the_start_and_changes_nothing(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    ring = file_ring(tmp_path)
    token = (await seals_of(database, ring)).sealed(LOCAL_WORKSPACE, "secret")
    for wrong in (file_ring(tmp_path / "elsewhere"), KeyRing(GivenKeys([RingKey.new()]))):
        with pytest.raises(KeyMissing, match=ring.writing_id()) as caught:
            await loaded(database, wrong)
        assert "rotate-keys --lost" in caught.value.fix
    assert os.listdir(tmp_path) == [FILE]  # noqa: PTH208 (not pathlib in a coroutine)
    assert (await seals_of(database, ring)).opened(LOCAL_WORKSPACE, token) == "secret"


async def test_after_a_loss_new_secrets_work_and_old_ones_say_what_is_missing(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    ring = file_ring(tmp_path)
    old = (await seals_of(database, ring)).sealed(LOCAL_WORKSPACE, "secret")
    other = KeyRing(GivenKeys([RingKey.new()]))
    assert not await lost(database, ring)
    assert await lost(database, other) and not await lost(database, other)
    seals = await seals_of(database, other)
    new = seals.sealed(LOCAL_WORKSPACE, "secret")
    assert seals.opened(LOCAL_WORKSPACE, new) == "secret" and new != old
    secrets = FiringSecrets(seals, LOCAL_WORKSPACE)
    assert secrets.opened({"a": old}) == {"a": old} and ring.writing_id() in secrets.problem
    both = KeyRing(GivenKeys([*other.keys.read(), *ring.keys.read()]))
    assert (await seals_of(database, both)).opened(LOCAL_WORKSPACE, old) == "secret"
