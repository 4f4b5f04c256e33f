"""``treadle rotate-keys``, as people call it: beside a running install, after a loss, with keys of the setting (K4)."""

import base64
import os
from pathlib import Path

import pytest

from tests.main.conftest import Call
from tests.main.installs import INPUT, OUTPUT, agent, written
from treadle.base.crypto import FILE, FileKeys, KeyRing
from treadle.base.database import DatabaseUrls, connect
from treadle.main.key_rotation import SEALED_TABLES

CANARY = "canary-of-rotation-71c3"
KEEPING = agent(
    {"key": (INPUT, {"name": "key", "value": CANARY, "secret": True}), "out": (OUTPUT, {"name": "got"})},
    [("key", "result", "out", "value")],
    name="keeping",
)


def keys(home: Path) -> list[str]:
    return KeyRing(FileKeys(home / FILE)).ids()


def test_rotation_changes_nothing_for_people(treadle: Call, install: Path, tmp_path: Path) -> None:
    file = written(tmp_path, KEEPING)
    before = treadle("run", file, "--json").json
    old = keys(install)
    called = treadle("rotate-keys")
    assert called.code == 0, called.err
    (new,) = keys(install)
    assert new not in old and f"A new key {new} encrypts from now on." in called.out
    assert f"The key {old[0]} was dropped." in called.out
    assert "signs access tokens from now on" in called.out
    after = treadle("run", file, "--json").json
    shown = [treadle("show", run["id"], "--json").json for run in (before, after)]
    assert [each["status"] for each in shown] == ["COMPLETED", "COMPLETED"]
    assert shown[0]["graph_version"] == shown[1]["graph_version"], "the agent that is saved again has not changed"
    assert CANARY not in str(shown)


def test_a_lost_key_stops_everything_with_what_to_do_until_it_is_back(
    treadle: Call, install: Path, tmp_path: Path
) -> None:
    file = written(tmp_path, KEEPING)
    assert treadle("run", file).code == 0
    content = (install / FILE).read_bytes()
    (install / FILE).unlink()
    for command in (("run", file), ("rotate-keys",), ("list",)):
        called = treadle(*command)
        assert called.code != 0 and "Put the key back" in called.err
        assert not (install / FILE).exists()
    (install / FILE).write_bytes(content)
    (install / FILE).chmod(0o600)
    assert treadle("run", file).code == 0


def test_when_a_key_is_lost_for_good_people_can_go_on(treadle: Call, install: Path, tmp_path: Path) -> None:
    file = written(tmp_path, KEEPING)
    first = treadle("run", file, "--json").json
    (install / FILE).unlink()
    called = treadle("rotate-keys", "--lost")
    assert called.code == 0 and "secrets need the key" in called.err
    assert treadle("run", file, "--json").json["status"] == "COMPLETED", "secrets that are entered again work"
    stale = treadle("rerun", first["id"], "--from", "1", "--json").json
    assert stale["status"] == "FAILED" and "enter those secrets again" in str(stale)


def test_keys_of_the_setting_are_used_and_the_unused_ones_told(
    treadle: Call, install: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert treadle("list").code == 0
    held = [base64.b64encode(key.material).decode() for key in FileKeys(install / FILE).read()]
    new = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv("TREADLE_ENCRYPTION_KEYS", ",".join((new, *held)))
    told = treadle("rotate-keys", "--json").json
    assert told["resealed"] > 0 and not told["made"] and told["dropped"] == keys(install)
    monkeypatch.setenv("TREADLE_ENCRYPTION_KEYS", new)
    assert treadle("list").code == 0
    monkeypatch.setenv("TREADLE_ENCRYPTION_KEYS", ",".join((*held, new)))
    assert treadle("rotate-keys").code == 0


async def test_every_table_of_secrets_can_be_rotated(database: DatabaseUrls) -> None:
    owner, engine = await connect(database.owner), await connect(database.engine)
    query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = $1"
    found = {row["table_name"] for row in await owner.fetch(query, "ciphertext")}
    assert found == {table.name for table in SEALED_TABLES}
    for table in SEALED_TABLES:
        columns = ", ".join((*table.ids, "ciphertext", "key_id"))
        assert await engine.fetch(f"SELECT {columns} FROM {table.name} FOR UPDATE") == []
        await engine.execute(f"UPDATE {table.name} SET ciphertext = '', key_id = '' WHERE key_id = 'none'")
    await owner.close()
    await engine.close()
