"""Tokens of a Supabase project: as good as our own if they are exactly right, else nobody's (cases T1, T2, T3, T6)."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from tests.company import Reply
from tests.features.accounts.conftest import Process, ToldClock, an_address, listening, run
from tests.supabase_project import DOWN, EC, FAMILIES, RSA, SECRET, Project, published, signed, supabase_project_server
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR
from treadle.features.accounts.access import Identity, Role
from treadle.features.accounts.errors import KeysUnavailable, NotAdmitted
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.remote_keys import RemoteKeys
from treadle.features.accounts.service import CHECKED_SECONDS, FRESH_SECONDS
from treadle.features.accounts.supabase import supabase_project
from treadle.sdk.http import EgressClient


@pytest.fixture
def project() -> Iterator[Project]:
    with supabase_project_server() as made:
        yield made


@pytest.fixture
async def process(database: DatabaseUrls, tmp_path: Path, project: Project) -> AsyncIterator[Process]:
    host, _, port = urlsplit(project.url).netloc.partition(":")
    async with EgressClient(allow=frozenset({(host, int(port))})) as http:
        clock = ToldClock()
        project.now = lambda: clock.now().timestamp()
        issuer = supabase_project(http, project.url, SecretStr(SECRET), clock)
        async with listening(Process(database, tmp_path, clock, issuers=[issuer])) as found:
            yield found


async def known(process: Process, token: str) -> Identity:
    identity = await process.accounts.identify(token)
    assert identity is not None
    return identity


every = pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256"])


# ---- who it is ------------------------------------------------------------------------------------------------------


@every
async def test_somebody_of_the_project_has_an_account_of_their_own(
    process: Process, project: Project, algorithm: str
) -> None:
    claims = project.claims()
    identity = await known(process, signed(claims, algorithm))
    assert (str(identity.session), identity.admin) == (claims["session_id"], False)
    own = await process.accounts.principal(identity, None)
    assert own.role is Role.OWNER and own.workspace != LOCAL_WORKSPACE
    person = await process.door.own_account.get(identity)
    assert (person.user.email, person.user.email_proven, person.user.profile) == (
        claims["email"],
        False,
        {"name": "Ann Example"},
    )
    assert [(each.issuer, each.subject) for each in person.identities] == [(project.issuer, claims["sub"])]
    again = project.claims(sub=claims["sub"], email=an_address(), session_id=None)
    for other in ("HS256", "ES256", "RS256"):
        assert (await known(process, signed(again, other))).user == identity.user
    assert await run(process.urls.owner, "SELECT count(*) FROM users") == 2, "and the operator"


async def test_of_many_first_requests_at_once_one_account_is_made(process: Process, project: Project) -> None:
    sub = str(uuid4())
    tokens = [project.token(sub=sub) for _ in range(8)]
    found = await asyncio.gather(*(known(process, each) for each in tokens))
    assert len({each.user for each in found}) == 1
    assert await run(process.urls.owner, "SELECT count(*) FROM workspaces WHERE personal_of IS NOT NULL") == 1
    assert project.fetched == 1


@every
async def test_t2_an_address_joins_nobody_to_an_account_that_is_there(
    process: Process, project: Project, algorithm: str
) -> None:
    email = an_address()
    ours = await process.signed_up(email)
    await run(process.urls.owner, "UPDATE users SET admin = true, email_proven = true WHERE email = $1", email)
    identity = await known(process, project.token(algorithm, email=email))
    assert identity.user != ours.person.user.id and not identity.admin


@every
async def test_t2_a_subject_of_the_project_is_nobody_of_ours(
    process: Process, project: Project, algorithm: str
) -> None:
    ours = await process.someone(admin=True)
    for sub in (ours.person.user.id, OPERATOR):
        token = project.token(algorithm, sub=str(sub), session_id=str(ours.session))
        identity = await known(process, token)
        assert identity.user != sub and not identity.admin
    assert await process.is_good(ours.access_token)


@every
async def test_t3_no_claim_makes_an_administrator_or_a_member(
    process: Process, project: Project, algorithm: str
) -> None:
    said = {"role": "admin", "admin": True, "workspace_id": str(LOCAL_WORKSPACE)}
    token = project.token(algorithm, role="service_role", app_metadata=said, user_metadata=said, admin=True)
    identity = await known(process, token)
    assert not identity.admin and identity.workspace is None
    assert (await process.accounts.principal(identity, None)).workspace != LOCAL_WORKSPACE


async def test_t6_whoever_is_disabled_here_is_nobody_at_once(process: Process, project: Project) -> None:
    token = project.token()
    identity = await known(process, token)
    ended = asyncio.Event()
    process.accounts.on_session_end(lambda session: ended.set() if session == identity.session else None)
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", identity.user)
    await ended.wait()
    assert not await process.is_good(token), "and open sockets were told to close"
    assert not await process.is_good(project.token(sub=jwt.decode(token, options={"verify_signature": False})["sub"]))


# ---- who may be here ------------------------------------------------------------------------------------------------


@every
async def test_whom_the_install_does_not_let_in_stays_outside(
    process: Process, project: Project, algorithm: str
) -> None:
    claims = project.claims()
    before = await known(process, signed(claims, algorithm))
    for policy in ("invited", "closed"):
        process.door.desk.admission.policy = policy
        for _ in range(2):  # the answer is remembered for a moment
            with pytest.raises(NotAdmitted):
                await process.accounts.identify(project.token(algorithm))
        assert (await known(process, signed(claims, algorithm))).user == before.user, "who is known stays"
    assert await run(process.urls.owner, "SELECT count(*) FROM users") == 2


async def test_an_invitation_lets_in_whoever_holds_it_not_whoever_says_an_address(
    process: Process, project: Project
) -> None:
    owner, email = await process.someone(), an_address()
    await run(
        process.urls.auth,
        "INSERT INTO invitations (id, workspace_id, email, role, hash, invited_by, expires_at)"
        " VALUES (gen_random_uuid(), $1, $2, 'viewer', $3, $4, now() + interval '1 day')",
        LOCAL_WORKSPACE,
        email,
        digest("the link's token"),
        owner.person.user.id,
    )
    process.door.desk.admission.policy = "invited"
    for said, claimed in (({}, email), ({"invitation": "another"}, email), ({"invitation": 7}, email)):
        with pytest.raises(NotAdmitted):
            await process.accounts.identify(project.token(email=claimed, user_metadata=said))
    with pytest.raises(NotAdmitted):
        await process.accounts.identify(project.token(user_metadata={"invitation": "the link's token"}))
    identity = await known(process, project.token(email=email, user_metadata={"invitation": "the link's token"}))
    assert (await process.accounts.principal(identity, LOCAL_WORKSPACE)).role is Role.VIEWER


async def test_whoever_was_not_let_in_comes_in_a_moment_after_that_has_changed(
    process: Process, project: Project
) -> None:
    process.door.desk.admission.policy = "closed"
    token = project.token()
    with pytest.raises(NotAdmitted):
        await process.accounts.identify(token)
    process.door.desk.admission.policy = "open"
    process.clock.go_on(FRESH_SECONDS)
    assert await process.is_good(token)


# ---- case T1: tokens that are not exactly right ---------------------------------------------------------------------


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    head = f"{encoded(header)}.{encoded(claims)}"
    if secret is None:
        return f"{head}."
    signature = hmac.digest(secret, head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def unsigned(project: Project, algorithm: str) -> str:
    return by_hand({"alg": "none", "kid": "ec"}, project.claims(), None)


def unsigned_in_capitals(project: Project, algorithm: str) -> str:
    return by_hand({"alg": "NONE", "kid": "rsa"}, project.claims(), b"")


def with_the_public_key_as_secret(project: Project, algorithm: str) -> str:
    key = FAMILIES["RS256" if algorithm == "HS256" else algorithm][0].public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return by_hand({"alg": "HS256", "kid": "rsa" if algorithm == "RS256" else "ec"}, project.claims(), pem)


def with_the_published_form_as_secret(project: Project, algorithm: str) -> str:
    return by_hand({"alg": "HS256", "kid": "rsa"}, project.claims(), json.dumps(project.keys[0]).encode())


def with_an_empty_secret(project: Project, algorithm: str) -> str:
    return by_hand({"alg": "HS256"}, project.claims(), b"")


def with_another_secret(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), SECRET[::-1] + "x", algorithm="HS256")


def with_another_key(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "ec"})


def with_the_key_of_the_other_algorithm(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), RSA, "RS256", {"kid": "ec"})


def with_another_algorithm_of_the_same_key(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), RSA, "PS256", {"kid": "rsa"})


def with_a_longer_hash(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), SECRET, "HS512")


def with_a_key_of_its_own(project: Project, algorithm: str) -> str:
    mine = ec.generate_private_key(ec.SECP256R1())
    header = {"kid": "ec", "jwk": published(mine, "ec", "ES256"), "jku": "https://evil.test/jwks.json"}
    return jwt.encode(project.claims(), mine, "ES256", header)


def with_a_name_that_is_a_list(project: Project, algorithm: str) -> str:
    return by_hand({"alg": "ES256", "kid": ["ec"]}, project.claims(), b"x")


def without_a_name(project: Project, algorithm: str) -> str:
    return jwt.encode(project.claims(), EC, "ES256")


def with_claims(**changes: Any) -> Callable[[Project, str], str]:
    def forge(project: Project, algorithm: str) -> str:
        return project.token(algorithm, **changes)

    return forge


FORGED: dict[str, Callable[[Project, str], str]] = {
    **{
        each.__name__.replace("_", " "): each
        for each in (
            unsigned,
            unsigned_in_capitals,
            with_the_public_key_as_secret,
            with_the_published_form_as_secret,
            with_an_empty_secret,
            with_another_secret,
            with_another_key,
            with_the_key_of_the_other_algorithm,
            with_another_algorithm_of_the_same_key,
            with_a_longer_hash,
            with_a_key_of_its_own,
            with_a_name_that_is_a_list,
            without_a_name,
        )
    },
    "run out": with_claims(exp=1_000_000_000),
    "no end": with_claims(exp=None),
    "an endless end": with_claims(exp=float("nan")),
    "not good yet": with_claims(nbf=4_000_000_000),
    "another project": with_claims(iss="https://another.supabase.co/auth/v1"),
    "the issuer of keys of a project": with_claims(iss="supabase", role="anon"),
    "an issuer that begins alike": with_claims(iss="http://127.0.0.1"),
    "no issuer": with_claims(iss=None),
    "another audience": with_claims(aud="anon"),
    "several audiences": with_claims(aud=["authenticated", "x"]),
    "no audience": with_claims(aud=None),
    "no subject": with_claims(sub=None),
    "an empty subject": with_claims(sub=""),
    "a subject that is no text": with_claims(sub=7),
    "a subject that is too long": with_claims(sub="x" * 256),
    "a subject that cannot be stored": with_claims(sub="x\0"),
    "nobody in particular": with_claims(is_anonymous=True, email=""),
    "a session that is no id": with_claims(session_id="x"),
}


@every
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_t1_a_token_that_is_not_exactly_right_is_nobodys(
    process: Process, project: Project, algorithm: str, forge: Callable[[Project, str], str]
) -> None:
    assert not await process.is_good(forge(project, algorithm))
    assert await run(process.urls.owner, "SELECT count(*) FROM users") == 1
    assert await process.is_good(project.token(algorithm)), "else the test proves nothing"


async def test_t1_without_the_secret_nothing_is_signed_with_one(
    database: DatabaseUrls, tmp_path: Path, project: Project
) -> None:
    async with EgressClient() as http:
        clock = ToldClock()
        issuer = supabase_project(http, project.url, SecretStr(""), clock)
        process = Process(database, tmp_path, clock, issuers=[issuer])
        for secret in (SECRET.encode(), b""):
            assert not await process.is_good(by_hand({"alg": "HS256"}, project.claims(), secret))
        await process.database.close()


@every
async def test_t1_our_own_tokens_are_good_and_the_project_signs_none_of_them(
    process: Process, project: Project, algorithm: str
) -> None:
    who = await process.someone()
    assert await process.is_good(who.access_token)
    claims = jwt.decode(who.access_token, options={"verify_signature": False})
    assert not await process.is_good(signed(claims, algorithm))
    signer = await process.keys.signer()
    theirs = project.claims()
    assert not await process.is_good(jwt.encode(theirs, signer.private_key, "ES256", {"kid": signer.id}))


# ---- keys that come from elsewhere ----------------------------------------------------------------------------------


async def test_made_up_keys_do_not_ask_the_project_each_time(process: Process, project: Project) -> None:
    assert await process.is_good(project.token())
    made_up = [jwt.encode(project.claims(), EC, "ES256", {"kid": f"made up {number}"}) for number in range(50)]
    assert not any(await asyncio.gather(*map(process.is_good, made_up)))
    assert project.fetched == 1
    process.clock.go_on(15)
    assert not any(await asyncio.gather(*map(process.is_good, made_up)))
    assert project.fetched == 2
    assert await process.is_good(project.token("RS256"))
    assert project.fetched == 2


async def test_a_new_key_is_good_when_it_is_first_seen_and_an_old_one_no_more(
    process: Process, project: Project
) -> None:
    old = project.token()
    assert await process.is_good(old)
    new = ec.generate_private_key(ec.SECP256R1())
    project.keys = [published(new, "new", "ES256"), published(EC, "ec", "ES256")]
    process.clock.go_on(60)
    assert await process.is_good(jwt.encode(project.claims(), new, "ES256", {"kid": "new"}))
    assert await process.is_good(project.token()), "both are good for a while"
    project.keys = project.keys[:1]
    process.clock.go_on(CHECKED_SECONDS)
    assert not await process.is_good(project.token())
    assert not await process.is_good(old), "nor a token that was known"


NONSENSE: dict[str, Reply] = {
    "down": DOWN,
    "no such page": (404, {}, b"{}"),
    "a page": (200, {}, b"<html>"),
    "too much": (200, {}, b'{"keys": ["' + b"x" * 300_000 + b'"]}'),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_that_it_cannot_be_told_is_told(process: Process, project: Project, nonsense: str) -> None:
    project.instead = NONSENSE[nonsense]
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await process.accounts.identify(project.token())
    assert project.fetched == 1, "and it is not asked again at once"
    assert await process.is_good(project.token("HS256")), "for which no key is needed"
    project.instead = None
    process.clock.go_on(15)
    assert await process.is_good(project.token())


async def test_known_keys_are_good_for_a_day_without_the_project(process: Process, project: Project) -> None:
    assert await process.is_good(project.token())
    project.instead = DOWN
    for hours in (1, 22):
        process.clock.go_on(hours * 3600)
        assert await process.is_good(project.token())
    with pytest.raises(KeysUnavailable):
        await process.accounts.identify(jwt.encode(project.claims(), EC, "ES256", {"kid": "unknown"}))
    process.clock.go_on(3600)
    with pytest.raises(KeysUnavailable):
        await process.accounts.identify(project.token())


SMALL = rsa.generate_private_key(65537, 1024)
P384 = ec.generate_private_key(ec.SECP384R1())
UNUSABLE: dict[str, Any] = {
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"},
    "a key for another algorithm": {**published(RSA, "k", "RS256"), "alg": "HS256"},
    "a key for encryption": {**published(RSA, "k", "RS256"), "use": "enc"},
    "a short key": published(SMALL, "k", "RS256"),
    "another curve": {**jwt.algorithms.ECAlgorithm.to_jwk(P384.public_key(), as_dict=True), "kid": "k"},
    "a private key": {**jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True), "kid": "k"},
    "a key without a name": {**published(EC, "k", "ES256"), "kid": None},
    "a name that is a list": {**published(EC, "k", "ES256"), "kid": ["k"]},
    "a point that is none": {**published(EC, "k", "ES256"), "x": "AAAA"},
    "parts that are missing": {"kty": "RSA", "kid": "k"},
    "parts of other types": {"kty": "RSA", "kid": "k", "n": 7, "e": []},
    "kinds of other types": {"kty": ["RSA"], "crv": {}, "kid": "k"},
    "no key": "k",
}


@pytest.mark.parametrize("unusable", UNUSABLE)
async def test_what_is_no_key_for_tokens_is_left_out(unusable: str) -> None:
    async def ask() -> Any:
        return {"keys": [UNUSABLE[unusable], published(EC, "good", "ES256")]}

    keys = RemoteKeys(ask, "the project", ToldClock())
    assert await keys.get("k") is None
    good = await keys.get("good")
    assert good is not None and good.algorithm == "ES256"


@pytest.mark.parametrize("document", [[], {}, {"keys": 7}, {"keys": {}}, "keys", None, {"keys": []}])
async def test_a_document_without_keys_has_none(document: Any) -> None:
    async def ask() -> Any:
        return document

    assert await RemoteKeys(ask, "the project", ToldClock()).get("k") is None
