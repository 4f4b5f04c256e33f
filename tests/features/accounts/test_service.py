"""Who somebody is: what a token is good for, and until when (cases T1, T5, T6)."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.features.accounts.conftest import START_TOKEN, Process, beside, run
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, SessionId, UserId, WorkspaceId, uuid7
from treadle.features.accounts.access import Identity, Principal, Role
from treadle.features.accounts.tokens import ACCESS_SECONDS


async def test_a_fresh_install_knows_nobody_but_whoever_holds_the_machine(process: Process) -> None:
    """Case T5."""
    assert await run(process.urls.owner, "SELECT array_agg(id) FROM users") == [OPERATOR]
    assert await run(process.urls.owner, "SELECT count(*) FROM users WHERE admin") == 0
    assert await process.accounts.identify(START_TOKEN) == Identity(OPERATOR, admin=True)
    for token in ("", "admin", START_TOKEN[:-1], START_TOKEN + "x", "ü"):
        assert await process.accounts.identify(token) is None


async def test_a_token_is_good_for_an_hour_and_names_its_session(process: Process) -> None:
    who = await process.someone()
    identity = await process.accounts.identify(who.access_token)
    assert identity == Identity(UserId(who.person.user.id), False, who.session)
    assert process.accounts.good_until(who.access_token) == who.expires_at
    process.clock.go_on(ACCESS_SECONDS - 1)
    assert await process.is_good(who.access_token)
    process.clock.go_on(1)
    assert not await process.is_good(who.access_token)
    assert not await process.is_good(who.access_token), "nor when it has been forgotten"


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def with_claims(**changes: Any) -> Callable[[dict[str, Any], Any, str], str]:
    """A token of ours, signed with our own key, that claims something else."""

    def forge(claims: dict[str, Any], key: Any, kid: str) -> str:
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})

    return forge


def without_signature(claims: dict[str, Any], key: Any, kid: str) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{encoded(claims)}."


def with_the_public_key_as_secret(claims: dict[str, Any], key: Any, kid: str) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{encoded(claims)}"
    signature = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def with_another_key(claims: dict[str, Any], key: Any, kid: str) -> str:
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": kid})


def with_its_own_key(claims: dict[str, Any], key: Any, kid: str) -> str:
    mine = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(mine.public_key(), as_dict=True)
    headers = {"kid": kid, "jwk": public, "jku": "https://evil.test/jwks.json"}
    return jwt.encode(claims, mine, algorithm="ES256", headers=headers)


def with_an_unknown_key_id(claims: dict[str, Any], key: Any, kid: str) -> str:
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "../../dev/null"})


def with_a_changed_letter(claims: dict[str, Any], key: Any, kid: str) -> str:
    good = jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})
    head, _, signature = good.split(".")
    return ".".join((head, encoded({**claims, "sub": str(OPERATOR)}), signature))


FORGED: dict[str, Callable[[dict[str, Any], Any, str], str]] = {
    "no signature": without_signature,
    "the public key as a secret": with_the_public_key_as_secret,
    "another key": with_another_key,
    "a key that it brings along": with_its_own_key,
    "an unknown key id": with_an_unknown_key_id,
    "other claims under the signature": with_a_changed_letter,
    "run out": with_claims(exp=1_000_000_000),
    "no end": with_claims(exp=None),
    "an end that is no number": with_claims(exp="soon"),
    "an endless end": with_claims(exp=float("inf"), nbf=float("nan")),
    "not good yet": with_claims(nbf=4_000_000_000),
    "another audience": with_claims(aud="anon"),
    "several audiences": with_claims(aud=["authenticated", "others"]),
    "no audience": with_claims(aud=None),
    "another issuer": with_claims(iss="https://evil.test/auth/v1"),
    "no issuer": with_claims(iss=None),
    "no subject": with_claims(sub=None),
    "another subject": with_claims(sub=str(uuid4())),
    "the operator": with_claims(sub=str(OPERATOR)),
    "no session": with_claims(session_id=None),
    "an unknown session": with_claims(session_id=str(uuid4())),
    "a session that is no id": with_claims(session_id="x"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_t1_a_token_that_is_not_exactly_right_is_nobodys(
    process: Process, forge: Callable[[dict[str, Any], Any, str], str]
) -> None:
    who = await process.someone()
    signer = await process.keys.signer()
    claims = jwt.decode(who.access_token, options={"verify_signature": False})
    assert await process.is_good(with_claims()(claims, signer.private_key, signer.id)), "else the test proves nothing"
    assert not await process.is_good(forge(claims, signer.private_key, signer.id))


@pytest.mark.parametrize("token", ["a.b.c", "..", ".".join(["e30"] * 3), "x" * 100_000, "é.é.é", "[" * 9_000])
async def test_t1_what_is_no_token_is_nobodys(process: Process, token: str) -> None:
    assert not await process.is_good(token)


async def test_t3_no_claim_makes_an_administrator(process: Process) -> None:
    who = await process.someone()
    signer = await process.keys.signer()
    claims = jwt.decode(who.access_token, options={"verify_signature": False})
    claims |= {"role": "service_role", "admin": True, "app_metadata": {"role": "admin", "admin": True}}
    token = jwt.encode(claims, signer.private_key, algorithm="ES256", headers={"kid": signer.id})
    identity = await process.accounts.identify(token)
    assert identity is not None and not identity.admin


async def test_t6_a_session_that_has_ended_is_good_for_nothing_anywhere(process: Process) -> None:
    who, other = await process.someone(), await process.someone()
    ended: list[SessionId] = []
    heard = asyncio.Event()
    async with beside(process) as elsewhere:
        process.accounts.on_session_end(ended.append)
        elsewhere.accounts.on_session_end(lambda session: heard.set())
        for each in (process, elsewhere):
            assert await each.is_good(who.access_token)
        identity = await process.accounts.identify(who.access_token)
        assert identity is not None
        await process.sessions.end(identity, "local")
        assert not await process.is_good(who.access_token), "here at once"
        assert set(ended) == {who.session}
        await heard.wait()
        assert not await elsewhere.is_good(who.access_token), "elsewhere as soon as the database has told it"
        assert await process.is_good(other.access_token) and await elsewhere.is_good(other.access_token)


async def test_t6_a_process_that_hears_nothing_knows_within_five_seconds(process: Process) -> None:
    who = await process.someone()
    async with beside(process) as deaf:
        await deaf.ears.close()
        assert await deaf.is_good(who.access_token)
        await run(process.urls.owner, "UPDATE sessions SET ended_at = now(), end_reason = 'test'")
        deaf.clock.go_on(4.9)
        assert await deaf.is_good(who.access_token)
        deaf.clock.go_on(0.1)
        assert not await deaf.is_good(who.access_token)


async def test_t6_what_ended_while_the_connection_was_away_is_told_afterwards(process: Process) -> None:
    who = await process.someone()
    assert await process.is_good(who.access_token)
    ended = asyncio.Event()
    process.accounts.on_session_end(lambda session: ended.set() if session == who.session else None)
    await run(process.urls.owner, "ALTER TABLE sessions DISABLE TRIGGER sessions_told")
    await run(process.urls.owner, "UPDATE sessions SET ended_at = now(), end_reason = 'test'")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = $1"
    assert await run(process.urls.auth, cut, await run(process.urls.auth, "SELECT current_database()"))
    await ended.wait()
    assert not await process.is_good(who.access_token)


async def test_t6_a_disabled_person_is_nobody_at_once(process: Process) -> None:
    who = await process.someone()
    user = who.person.user.id
    assert await process.is_good(who.access_token)
    told = asyncio.Event()
    process.accounts.on_session_end(lambda session: told.set())
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", user)
    await run(process.urls.owner, "UPDATE sessions SET ended_at = now(), end_reason = 'x' WHERE user_id = $1", user)
    await told.wait()
    assert not await process.is_good(who.access_token)


async def test_an_administrator_is_one_until_that_changes(process: Process) -> None:
    who, boss = await process.someone(), await process.someone(admin=True)
    identities = [await process.accounts.identify(each.access_token) for each in (who, boss)]
    assert [each is not None and each.admin for each in identities] == [False, True]
    async with beside(process) as elsewhere:
        assert await elsewhere.accounts.identify(who.access_token) == identities[0]
        await run(process.urls.owner, "UPDATE users SET admin = true WHERE id = $1", who.person.user.id)
        process.clock.go_on(5)
        identity = await elsewhere.accounts.identify(who.access_token)
        assert identity is not None and identity.admin


async def test_keys_are_exchanged_and_the_old_tokens_stay_good(process: Process) -> None:
    before = await process.someone()
    old = (await process.keys.signer()).id
    async with beside(process) as elsewhere:
        assert await elsewhere.is_good(before.access_token)
        new = await process.keys.exchange()
        after = await process.someone()
        assert jwt.get_unverified_header(after.access_token)["kid"] == new != old
        for each in (process, elsewhere):
            assert await each.is_good(before.access_token) and await each.is_good(after.access_token)
        assert [key["kid"] for key in await elsewhere.keys.published()] == [new, old]
        assert all("d" not in key for key in await elsewhere.keys.published()), "the private half stays here"
    process.clock.go_on(2 * 3600 + 1)
    assert [key["kid"] for key in await process.keys.published()] == [new]


async def test_a_signing_key_that_cannot_be_opened_is_replaced(process: Process) -> None:
    who = await process.someone()
    (process.home / "secrets.key").unlink()
    fresh = Process(process.urls, process.home, process.clock)
    try:
        assert await fresh.is_good(who.access_token), "the public half is enough to verify"
        again = await fresh.someone()
        assert await fresh.is_good(again.access_token)
        kids = {jwt.get_unverified_header(each.access_token)["kid"] for each in (who, again)}
        assert len(kids) == 2
    finally:
        await fresh.database.close()


async def test_made_up_key_ids_do_not_ask_the_database_each_time(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    repository = process.storage.repository

    def counting() -> Any:
        nonlocal asked
        asked += 1
        return repository()

    monkeypatch.setattr(process.storage, "repository", counting)
    assert [await process.keys.verifying(f"made-up {number}") for number in range(20)] == [None] * 20
    assert asked == 1
    process.clock.go_on(5)
    assert await process.keys.verifying("made-up") is None
    assert asked == 2


async def test_a_principal_is_somebody_in_a_workspace(process: Process) -> None:
    who = await process.someone()
    identity = await process.accounts.identify(who.access_token)
    assert identity is not None
    own = await process.accounts.principal(identity, None)
    assert own == Principal(identity.user, own.workspace, Role.OWNER, False, who.session)
    assert await process.accounts.principal(identity, own.workspace) == own
    for elsewhere in (LOCAL_WORKSPACE, WorkspaceId(uuid7())):
        with pytest.raises(NotFound):
            await process.accounts.principal(identity, elsewhere)


async def test_a_changed_part_is_heard_in_other_processes(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await process.someone()
    identity = await process.accounts.identify(who.access_token)
    assert identity is not None
    add = "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'viewer')"
    await run(process.urls.auth, add, LOCAL_WORKSPACE, identity.user)
    assert (await process.accounts.principal(identity, LOCAL_WORKSPACE)).role is Role.VIEWER
    changed = asyncio.Event()
    forget = process.accounts.part_changed

    def forgetting(user: UserId) -> None:
        forget(user)
        changed.set()

    monkeypatch.setattr(process.accounts, "part_changed", forgetting)
    await run(process.urls.auth, "DELETE FROM members WHERE user_id = $1 AND role = 'viewer'", identity.user)
    await changed.wait()
    with pytest.raises(NotFound):
        await process.accounts.principal(identity, LOCAL_WORKSPACE)


async def test_whoever_may_only_serve_people_cannot_end_a_session_by_saying_so(process: Process) -> None:
    who = await process.someone()
    assert await process.is_good(who.access_token)
    heard = asyncio.Event()
    process.accounts.on_session_end(lambda session: heard.set())
    for text in ("nonsense", "session x", "", f"session {who.session}"):
        await run(process.urls.api, "SELECT pg_notify('treadle_accounts', $1)", text)
    await heard.wait()
    assert await process.is_good(who.access_token)
