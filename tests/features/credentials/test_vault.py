"""Stored credentials: used by their own workspace, and given out to nobody (A8, K1, K4, S13)."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from treadle.base.crypto import FILE, FileKeys, GivenKeys, KeyRing, RingKey
from treadle.base.database import DatabaseUrls, connect
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, CredentialsId, WorkspaceId, uuid7
from treadle.base.key_rotation import rotate_keys
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.credentials import vault as vault_module
from treadle.features.credentials.errors import BadCredentials, CredentialsInUse, CredentialsUse
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.providers import keyless, known_providers, known_setups
from treadle.features.credentials.service import CredentialsSource
from treadle.features.credentials.vault import SEALED_CREDENTIALS, NewCredentials, Secret, Vault
from treadle.integrations.catalogue import ALL_BLOCKS
from treadle.sdk.block import Block
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import CredentialsNeeded, RetryLater
from treadle.sdk.registry import Registry
from treadle.sdk.testing import FrozenClock

CANARY = "canary-vault-83a1"
ADD_LABEL = Registry(ALL_BLOCKS).by_name("GithubAddLabelBlock")
TRANSCRIBE = Registry(ALL_BLOCKS).by_name("TranscribeYoutubeVideoBlock")
KEY = NewCredentials("github", AuthKind.API_KEY, "Work", Secret(SecretStr(CANARY)))
LOGIN = NewCredentials("webshare_proxy", AuthKind.USER_PASSWORD, "Proxy", Secret(SecretStr(CANARY)), username="me")
HEADERS = NewCredentials(
    "http", AuthKind.HOST_SCOPED, "Mine", Secret(headers={"X-Key": SecretStr(CANARY)}), host="API.Example.com."
)


@dataclass(slots=True)
class World:
    """A vault with two workspaces."""

    vault: Vault
    database: WorkspaceDatabase
    urls: DatabaseUrls
    ring: KeyRing
    clock: FrozenClock
    other: WorkspaceId
    home: Path

    def source(self, shared: str = "", **environ: str) -> CredentialsSource:
        keyring = Keyring(known_setups(), environ, self.home)
        return CredentialsSource(keyring, keyless(), self.vault, frozenset(filter(None, shared.split(","))), self.clock)

    async def given(
        self,
        to: Block,
        workspace: WorkspaceId = LOCAL_WORKSPACE,
        shared: str = "",
        environ: Mapping[str, str] | None = None,
        credentials: Any = None,
    ) -> dict[str, Credentials]:
        """What a node is given whose pin holds ``credentials``."""
        source = self.source(shared, **(environ or {}))
        return await source.credentials_for(workspace, to, {"credentials": credentials})


@pytest.fixture
async def world(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[World]:
    other = WorkspaceId(uuid7())
    connection = await connect(database.owner)
    await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Other')", other)
    await connection.close()
    opened, ring, clock = WorkspaceDatabase(database.api), KeyRing(FileKeys(tmp_path / FILE)), FrozenClock()
    yield World(Vault(opened, ring, known_providers(), clock=clock), opened, database, ring, clock, other, tmp_path)
    await opened.close()


def reference(id: Any) -> dict[str, Any]:
    return {"id": str(id), "provider": "github", "type": "api_key"}


async def test_stored_credentials_are_used_by_their_own_workspace_only(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    for chosen in (None, reference(row.id), reference(uuid7())):
        got = (await world.given(ADD_LABEL, credentials=chosen))["credentials"]
        assert (got.id, got.secret.get_secret_value(), got.hosts) == (str(row.id), CANARY, ("api.github.com",))
    told = set()
    for foreign in (row.id, uuid7()):
        with pytest.raises(CredentialsNeeded, match="There are no github credentials") as caught:
            await world.given(ADD_LABEL, world.other, credentials=reference(foreign))
        told.add(str(caught.value))
    assert len(told) == 1, "credentials of others are as if they did not exist"
    own = await world.vault.add(world.other, OPERATOR, KEY)
    got = (await world.given(ADD_LABEL, world.other, credentials=reference(row.id)))["credentials"]
    assert got.id == str(own.id)


@pytest.mark.parametrize("act", ["get", "change", "remove"])
async def test_credentials_of_others_are_not_found(world: World, act: str) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    messages = set()
    for id in (CredentialsId(row.id), CredentialsId(uuid7())):
        calls = {
            "get": world.vault.get(world.other, id),
            "change": world.vault.change(world.other, OPERATOR, id, {"title": "x"}),
            "remove": world.vault.remove(world.other, OPERATOR, id, force=True),
        }
        wanted = calls.pop(act)
        [each.close() for each in calls.values()]
        with pytest.raises(NotFound) as caught:
            await wanted
        messages.add(caught.value.message.replace(str(id), "ID"))
    assert len(messages) == 1
    assert (await world.vault.listed(world.other, Page()))[1] == 0
    assert (await world.vault.get(LOCAL_WORKSPACE, CredentialsId(row.id))).title == "Work"


async def test_the_database_itself_keeps_workspaces_apart(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    api = await connect(world.urls.api)
    assert await api.fetch("SELECT * FROM credentials") == []
    await api.execute("SELECT set_config('treadle.workspace_id', $1, false)", str(world.other))
    assert await api.fetch("SELECT * FROM credentials") == []
    assert await api.execute("UPDATE credentials SET title = 'taken'") == "UPDATE 0"
    await api.close()
    assert (await world.vault.get(LOCAL_WORKSPACE, CredentialsId(row.id))).title == "Work"


async def test_nothing_of_the_secret_is_in_the_database(world: World) -> None:
    for new in (KEY, LOGIN, HEADERS):
        await world.vault.add(LOCAL_WORKSPACE, OPERATOR, new)
    engine = await connect(world.urls.engine)
    rows = await engine.fetch("SELECT * FROM credentials")
    assert len(rows) == 3 and CANARY not in str(rows) and all(CANARY.encode() not in row["ciphertext"] for row in rows)
    assert CANARY not in repr(await world.vault.offers(LOCAL_WORKSPACE)) + repr(KEY)
    await engine.execute("UPDATE credentials a SET ciphertext = b.ciphertext FROM credentials b WHERE a.id <> b.id")
    await engine.close()
    world.clock.advance(10)
    with pytest.raises(CredentialsNeeded, match="cannot be decrypted"):
        await world.given(ADD_LABEL)


async def test_who_can_write_to_the_database_cannot_redirect_a_secret(world: World) -> None:
    for new in (KEY, HEADERS):
        await world.vault.add(LOCAL_WORKSPACE, OPERATOR, new)
    engine = await connect(world.urls.owner)
    await engine.execute("UPDATE credentials SET hosts = ARRAY['evil.example']")
    await engine.close()
    world.clock.advance(vault_module.STALE_SECONDS)
    for offer in await world.vault.offers(LOCAL_WORKSPACE):
        with pytest.raises(CredentialsNeeded, match="changed in the database"):
            offer.open()


async def test_user_and_password_and_headers_come_whole_and_for_their_host(world: World) -> None:
    await world.vault.add(LOCAL_WORKSPACE, OPERATOR, LOGIN)
    await world.vault.add(LOCAL_WORKSPACE, OPERATOR, HEADERS)
    login = (await world.given(TRANSCRIBE))["credentials"]
    assert (login.username, login.secret.get_secret_value()) == ("me", CANARY)
    offers = await world.vault.offers(LOCAL_WORKSPACE)
    headers = offers[1].open()
    assert headers.hosts == ("api.example.com",) and headers.headers["X-Key"].get_secret_value() == CANARY


async def test_a_workspaces_own_come_before_the_installs(world: World) -> None:
    environ = {"GITHUB_TOKEN": "of-the-operator"}
    assert (await world.given(ADD_LABEL, environ=environ))["credentials"].id == "environment:github"
    first = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    assert (await world.given(ADD_LABEL, environ=environ))["credentials"].id == str(first.id)
    named = await world.given(ADD_LABEL, environ=environ, credentials=reference("environment:github"))
    assert named["credentials"].secret.get_secret_value() == "of-the-operator"
    await world.vault.add(LOCAL_WORKSPACE, OPERATOR, replace(KEY, title="Home"))
    with pytest.raises(CredentialsNeeded, match=r"several github credentials: Work \(.*\), Home"):
        await world.given(ADD_LABEL, environ=environ)


async def test_the_operators_keys_are_spent_by_others_only_when_shared(world: World) -> None:
    environ = {"GITHUB_TOKEN": "of-the-operator"}
    for shared, allowed in (("", False), ("jina", False), ("github", True), ("*", True)):
        for chosen in (None, reference("environment:github")):
            if allowed:
                got = await world.given(ADD_LABEL, world.other, shared, environ, chosen)
                assert got["credentials"].secret.get_secret_value() == "of-the-operator"
            else:
                with pytest.raises(CredentialsNeeded) as caught:
                    await world.given(ADD_LABEL, world.other, shared, environ, chosen)
                assert "GITHUB_TOKEN" not in caught.value.fix and str(world.home) not in caught.value.fix


async def test_expired_credentials_are_told_and_not_used(world: World) -> None:
    soon = world.clock.now() + timedelta(hours=1)
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, replace(KEY, expires_at=soon))
    assert (await world.given(ADD_LABEL))["credentials"].id == str(row.id)
    world.clock.advance(3600)
    for chosen in (None, reference(row.id)):
        with pytest.raises(CredentialsNeeded, match=r"Work \(.*\) expired"):
            await world.given(ADD_LABEL, credentials=chosen)
    fresh = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, replace(KEY, title="Fresh"))
    assert (await world.given(ADD_LABEL))["credentials"].id == str(fresh.id)
    with pytest.raises(CredentialsNeeded, match="expired"):
        await world.given(ADD_LABEL, credentials=reference(row.id))


async def test_a_change_counts_at_once_here_and_soon_elsewhere(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    elsewhere = replace_vault(world)
    assert (await elsewhere.given(ADD_LABEL))["credentials"].secret.get_secret_value() == CANARY
    id = CredentialsId(row.id)
    changed = await world.vault.change(LOCAL_WORKSPACE, OPERATOR, id, {"title": "New"}, Secret(SecretStr("another")))
    assert (changed.title, changed.provider) == ("New", "github") and changed.updated_at >= row.created_at
    assert (await world.given(ADD_LABEL))["credentials"].secret.get_secret_value() == "another"
    world.clock.advance(vault_module.STALE_SECONDS)
    assert (await elsewhere.given(ADD_LABEL))["credentials"].secret.get_secret_value() == "another"
    await world.vault.remove(LOCAL_WORKSPACE, OPERATOR, id)
    with pytest.raises(CredentialsNeeded):
        await world.given(ADD_LABEL)
    world.clock.advance(vault_module.STALE_SECONDS)
    with pytest.raises(CredentialsNeeded):
        await elsewhere.given(ADD_LABEL)


def replace_vault(world: World) -> World:
    """Another process."""
    return replace(world, vault=Vault(world.database, world.ring, known_providers(), clock=world.clock))


async def test_many_attempts_at_once_ask_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    asked, transaction = [], world.database.transaction

    def counted(workspace: WorkspaceId) -> Any:
        asked.append(workspace)
        return transaction(workspace)

    await world.given(ADD_LABEL)
    world.clock.advance(vault_module.STALE_SECONDS)
    monkeypatch.setattr(world.database, "transaction", counted)
    await asyncio.gather(*(world.given(ADD_LABEL) for _ in range(200)))
    assert len(asked) == 1


async def test_when_they_were_last_used_is_known_to_the_minute(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    id = CredentialsId(row.id)
    assert (await world.vault.get(LOCAL_WORKSPACE, id)).last_used_at is None
    await world.given(ADD_LABEL)
    first = (await world.vault.get(LOCAL_WORKSPACE, id)).last_used_at
    assert first is not None
    await world.given(ADD_LABEL)
    await replace_vault(world).given(ADD_LABEL)
    assert (await world.vault.get(LOCAL_WORKSPACE, id)).last_used_at == first


async def test_without_the_database_an_attempt_may_be_repeated(world: World, database: DatabaseUrls) -> None:
    nowhere = WorkspaceDatabase("postgresql://nobody@127.0.0.1:1/none")
    broken = Vault(nowhere, world.ring, known_providers())
    for _ in range(2):
        with pytest.raises(RetryLater, match="cannot be read at present"):
            await broken.offers(LOCAL_WORKSPACE)
    await nowhere.close()


async def test_what_is_used_is_deleted_only_by_force(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    other = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)

    async def uses(workspace: WorkspaceId, id: str) -> list[CredentialsUse]:
        return [CredentialsUse("agent", "g1", "Label them")] if id == str(row.id) else []

    world.vault.tell_uses(uses)
    with pytest.raises(CredentialsInUse, match="the agent Label them") as caught:
        await world.vault.remove(LOCAL_WORKSPACE, OPERATOR, CredentialsId(row.id))
    assert caught.value.uses[0].id == "g1"
    await world.vault.remove(LOCAL_WORKSPACE, OPERATOR, CredentialsId(other.id))
    await world.vault.remove(LOCAL_WORKSPACE, OPERATOR, CredentialsId(row.id), force=True)
    assert (await world.vault.listed(LOCAL_WORKSPACE, Page())) == ([], 0)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (replace(KEY, kind=AuthKind.OAUTH2), "does not take oauth2 that is typed in"),
        (replace(KEY, kind=AuthKind.USER_PASSWORD, username="u"), "does not take user_password"),
        (replace(KEY, secret=Secret()), "secret is missing"),
        (replace(KEY, secret=Secret(SecretStr("a"), {"X": SecretStr("b")})), "headers is not used"),
        (replace(KEY, secret=Secret(SecretStr("a\r\nX-Evil: 1"))), "cannot be sent"),
        (replace(KEY, host="evil.example"), "go to its own hosts"),
        (replace(LOGIN, username=""), "belong together"),
        (replace(HEADERS, secret=Secret()), "headers is missing"),
        (replace(HEADERS, secret=Secret(headers={"X-Key": SecretStr("a\nb")})), "cannot be sent"),
        (replace(HEADERS, secret=Secret(headers={"X Key": SecretStr("a")})), "cannot be sent"),
        (replace(HEADERS, host=""), "one exact name"),
        (replace(HEADERS, host="*.example.com"), "one exact name"),
        (replace(HEADERS, host="https://example.com/x"), "one exact name"),
        (replace(HEADERS, host="example.com:8080"), "one exact name"),
    ],
)
async def test_what_could_not_be_used_is_refused(world: World, new: NewCredentials, message: str) -> None:
    with pytest.raises(BadCredentials, match=message) as caught:
        await world.vault.add(LOCAL_WORKSPACE, OPERATOR, new)
    assert CANARY not in str(caught.value) and caught.value.fix
    assert (await world.vault.listed(LOCAL_WORKSPACE, Page()))[1] == 0


async def test_unknown_providers_and_too_many_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no provider nobody"):
        await world.vault.add(LOCAL_WORKSPACE, OPERATOR, replace(KEY, provider="nobody"))
    monkeypatch.setattr(vault_module, "MOST", 2)
    made = [world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY) for _ in range(4)]
    results = await asyncio.gather(*made, return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in results) == 2


async def test_a_change_is_checked_like_what_is_new(world: World) -> None:
    login = CredentialsId((await world.vault.add(LOCAL_WORKSPACE, OPERATOR, LOGIN)).id)
    with pytest.raises(BadCredentials, match="belong together"):
        await world.vault.change(LOCAL_WORKSPACE, OPERATOR, login, {"username": ""})
    with pytest.raises(BadCredentials, match="secret is missing"):
        await world.vault.change(LOCAL_WORKSPACE, OPERATOR, login, {}, Secret())
    assert (await world.given(TRANSCRIBE))["credentials"].username == "me"


async def test_what_befalls_them_is_in_the_audit_log_without_the_secret(world: World) -> None:
    id = CredentialsId((await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)).id)
    await world.vault.change(LOCAL_WORKSPACE, OPERATOR, id, {"title": "New"}, Secret(SecretStr(CANARY)))
    await world.vault.remove(LOCAL_WORKSPACE, OPERATOR, id, force=True)
    owner = await connect(world.urls.owner)
    rows = await owner.fetch("SELECT * FROM audit_log WHERE action LIKE 'credentials.%' ORDER BY id")
    await owner.close()
    assert [row["action"] for row in rows] == ["credentials.created", "credentials.changed", "credentials.deleted"]
    assert {(row["workspace_id"], row["actor"], row["target"]) for row in rows} == {
        (LOCAL_WORKSPACE, OPERATOR, str(id))
    }
    assert '"secret"' in rows[1]["details"] and CANARY not in str(rows)


async def test_lists_come_in_pages_newest_first(world: World) -> None:
    for title in ("a", "b", "c"):
        await world.vault.add(LOCAL_WORKSPACE, OPERATOR, replace(KEY, title=title))
    await world.vault.add(LOCAL_WORKSPACE, OPERATOR, LOGIN)
    rows, total = await world.vault.listed(LOCAL_WORKSPACE, Page(1, 2), "github")
    assert ([row.title for row in rows], total) == (["c", "b"], 3)
    rows, total = await world.vault.listed(LOCAL_WORKSPACE, Page(2, 3))
    assert ([row.title for row in rows], total) == (["a"], 4)


async def test_a_rotation_moves_them_and_a_lost_key_says_what_to_do(world: World) -> None:
    row = await world.vault.add(LOCAL_WORKSPACE, OPERATOR, KEY)
    old = os.fspath(world.home / FILE)
    content = world.ring.keys.read()
    engine = await connect(world.urls.engine)
    done = await rotate_keys(engine, world.ring, [SEALED_CREDENTIALS])
    await engine.close()
    assert done.resealed == 1 and done.dropped == [content[0].id]
    assert (await world.given(ADD_LABEL))["credentials"].secret.get_secret_value() == CANARY
    fresh = Vault(world.database, KeyRing(FileKeys(Path(old))), known_providers(), clock=world.clock)
    assert (await replace(world, vault=fresh).given(ADD_LABEL))["credentials"].id == str(row.id)
    lost = Vault(world.database, KeyRing(GivenKeys([RingKey.new()])), known_providers(), clock=world.clock)
    with pytest.raises(CredentialsNeeded, match=f"Work: .*{done.key}") as caught:
        await replace(world, vault=lost).given(ADD_LABEL)
    assert "rotate-keys --lost" in caught.value.fix
    assert (await lost.listed(LOCAL_WORKSPACE, Page()))[1] == 1, "it is still listed, and can be entered again"
