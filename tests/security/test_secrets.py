"""A secret is nowhere but where it is used: not in the database, logs, events, views or exports (K1, K3, K8, L4)."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from tests.conftest import isolated_settings
from tests.e2e.deciding import AGENT, DECIDE, FILL, INPUT, MODEL, OUTPUT, REVIEW, OnlyModels, agent, node, read
from tests.e2e.platforms import new_home
from tests.sdk.models.servers import Fail, ProviderServer, Say, provider_server
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, CredentialsId, GraphId
from treadle.base.logging import configure_logging
from treadle.base.roles import superuser_address
from treadle.engine.secrets import MASK
from treadle.features.credentials.vault import NewCredentials, Secret
from treadle.features.executions.reviews import Decision
from treadle.features.executions.service import Again
from treadle.features.executions.starting import Wanted
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.listing import GraphQuery
from treadle.features.graphs.secret_values import shown
from treadle.kernel.states import Status
from treadle.main.wiring import Platform, running_platform
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, CredentialsRef, credentials_pin
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.testing import ScriptedReply

module = pytest.mark.asyncio(loop_scope="module")
_NAMES = ("key", "token", "typed", "given", "pin", "stored")
CANARIES = KEY, TOKEN, TYPED, GIVEN, ON_PIN, STORED = tuple(f"canary-{name}-4f1c9" for name in _NAMES)
WRITE = "1f292d4a-41a4-4977-9684-7c8d560b9f91"
MAKE_ISSUE = "691dad47-f494-44c3-a1e8-05b7990f2dab"
WEB = "6595ae1f-b924-42cb-9a41-551a0611c4b4"
FOR_EACH = "6e1444a9-0576-4866-a61e-2b16ed5d2b85"
SEEN: list[Any] = []
"""What the blocks below were given."""


class Secretive(Inputs):
    value: Any = pin("Anything.", default=None)
    key: str = pin("A secret.", default="", secret=True)
    fail: bool = pin("Quote it all in a failure.", default=False)
    credentials: CredentialsRef = credentials_pin("openai")


class Result(Outputs):
    value: Any = pin("Anything.")


@block(id="secretive", name="SecretiveBlock", outputs=Result, work=Work.EFFECT)
async def secretive(inputs: Secretive, ctx: Context) -> Stream:
    """Uses secrets, and quotes them all when it fails."""
    SEEN.append((inputs.value, inputs.key))
    if inputs.fail:
        found = ctx.credentials["credentials"].secret.get_secret_value()
        raise RuntimeError(f"401 for {found} {inputs.value}")
    yield "value", {"echo": [inputs.value]}


@dataclass
class World:
    """A platform with secrets everywhere, and everything that it logs."""

    platform: Platform
    server: ProviderServer
    log: io.StringIO
    web: list[Any] = field(default_factory=list)


class Web(OnlyModels):
    """Takes any request, keeps it, and answers."""

    def __init__(self, server: ProviderServer, seen: list[Any]) -> None:
        super().__init__(server)
        self.seen = seen

    async def request(self, method: str, url: str, **more: Any) -> ScriptedReply:
        self.seen.append((method, url, more))
        return ScriptedReply({"number": 1, "html_url": "https://github.com/o/r/issues/1"}, url=url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world() -> AsyncIterator[World]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with new_home() as home, pytest.MonkeyPatch.context() as patch:
        settings = isolated_settings(home, patch).model_copy(update={"log_level": "DEBUG", "log_format": "json"})
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("GITHUB_TOKEN", TOKEN)
        log = io.StringIO()
        configure_logging(settings, log)
        async with provider_server() as server, running_platform(settings, (secretive,)) as platform:
            world = World(platform, server, log)
            platform.doors.http = Web(server, world.web)
            yield world
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    SEEN.clear()
    shared_world.web.clear()
    shared_world.server.seen.clear()
    shared_world.server.answers.clear()
    yield shared_world


async def database(platform: Platform) -> str:
    """Everything that every table holds, as text."""
    connection = await asyncpg.connect(superuser_address(platform.urls.owner))
    found = []
    try:
        for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            for row in await connection.fetch(f'SELECT * FROM "{table["tablename"]}"'):
                found += [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in row]
    finally:
        await connection.close()
    assert "begin" in "".join(found), "the journal was read"
    return "\n".join(found)


async def graphs(platform: Platform) -> str:
    heads, _ = await platform.graphs.page(LOCAL_WORKSPACE, GraphQuery())
    rows = [await platform.graphs.get(LOCAL_WORKSPACE, GraphId(head.id)) for head in heads]
    return "\n".join(json.dumps(row.document) for row in rows)


async def everything(world: World, id: Any) -> str:
    """All that anybody can get to see of the install and a run."""
    platform = world.platform
    row = await platform.executions.get(LOCAL_WORKSPACE, id)
    family = await platform.executions.family(LOCAL_WORKSPACE, id)
    told: list[Any] = [row, await platform.executions.outputs(row)]
    for each in family:
        told.append((await platform.executions.firings(LOCAL_WORKSPACE, each.id)).firings)
        told.append(await platform.executions.events(LOCAL_WORKSPACE, each.id))
    values = platform.settings.home / "values"
    files = [path.read_bytes().decode("utf-8", "replace") for path in values.rglob("*") if path.is_file()]
    return "\n".join([await database(platform), await graphs(platform), world.log.getvalue(), repr(told), *files])


async def run(world: World, document: dict[str, Any], **inputs: Any) -> Any:
    platform = world.platform
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(document))
    id = await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), inputs)
    return await asyncio.wait_for(platform.worker.finished(LOCAL_WORKSPACE, id, resting=True), 60)


async def assert_hidden(world: World, id: Any, *canaries: str) -> None:
    found = await everything(world, id)
    assert [each for each in (*canaries, KEY, TOKEN) if each in found] == []


TYPED_INPUT = node("typed", INPUT, name="typed", value=TYPED, secret=True)
GIVEN_INPUT = node("given", INPUT, name="given", secret=True)
OUT = node("out", OUTPUT, name="got")


@module
async def test_k1_credentials_go_to_the_providers_and_nowhere_else(world: World) -> None:
    world.server.will(Say("A poem."))
    nodes = [
        node("write", WRITE, model=MODEL, prompt="Write."),
        node("issue", MAKE_ISSUE, repo_url="https://github.com/o/r"),
        OUT,
    ]
    nodes[1]["input_default"]["title"] = "T"
    row = await run(world, agent(nodes, ["write.response > issue.body", "issue.url > out.value"]))
    assert (row.status, row.error) == (Status.COMPLETED, None)
    assert KEY in world.server.seen[0].headers["authorization"]
    assert TOKEN in world.web[0][2]["credentials"].headers["Authorization"].get_secret_value()
    await assert_hidden(world, row.id)


@module
async def test_k1_stored_credentials_are_used_and_nowhere_in_the_open(world: World) -> None:
    vault, secret = world.platform.vault, Secret(SecretStr(STORED))
    row = await vault.add(LOCAL_WORKSPACE, OPERATOR, NewCredentials("openai", AuthKind.API_KEY, "Mine", secret))
    reference = {"id": str(row.id), "provider": "openai", "type": "api_key"}
    try:
        world.server.will(Say("A poem."), Fail(401, {"error": {"message": f"Incorrect API key provided: {STORED}"}}))
        for status in (Status.COMPLETED, Status.FAILED):
            nodes = [node("write", WRITE, model=MODEL, prompt=str(status), retry=1, credentials=reference)]
            ended = await run(world, agent(nodes, []))
            assert ended.status is status and STORED in world.server.seen[-1].headers["authorization"]
            await assert_hidden(world, ended.id, STORED)
    finally:
        await vault.remove(LOCAL_WORKSPACE, OPERATOR, CredentialsId(row.id), force=True)


@module
async def test_a_run_uses_the_stored_credentials_that_were_chosen_for_it(world: World) -> None:
    platform, ids = world.platform, []
    try:
        for secret in (TYPED, STORED):
            new = NewCredentials("openai", AuthKind.API_KEY, secret[:8], Secret(SecretStr(secret)))
            ids.append((await platform.vault.add(LOCAL_WORKSPACE, OPERATOR, new)).id)
        row = await platform.graphs.save(
            LOCAL_WORKSPACE, read(agent([node("write", WRITE, model=MODEL, prompt="Choose.", retry=1)], []))
        )
        for id, secret in zip(ids, (TYPED, STORED), strict=True):
            world.server.will(Say("A poem."))
            ref = CredentialsRef(id=str(id), provider="openai", type=AuthKind.API_KEY)
            wanted = Wanted(GraphId(row.id), {}, credentials={"openai_api_key_credentials": ref})
            run_id, ended = await platform.executions.run(LOCAL_WORKSPACE, wanted, 60)
            assert ended.status is Status.COMPLETED and secret in world.server.seen[-1].headers["authorization"]
            await assert_hidden(world, run_id, TYPED, STORED)
    finally:
        for id in ids:
            await platform.vault.remove(LOCAL_WORKSPACE, OPERATOR, CredentialsId(id), force=True)


@module
async def test_k1_failures_that_quote_secrets_do_not_tell_them(world: World) -> None:
    world.server.will(Fail(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    nodes = [
        node("write", WRITE, model=MODEL, prompt="Write.", retry=1),
        node("bad", "secretive", fail=True),
        GIVEN_INPUT,
    ]
    row = await run(world, agent(nodes, ["given.result > bad.value"]), given=GIVEN)
    assert row.status is Status.FAILED
    assert "401 for *** ***" in str(row.failures)
    await assert_hidden(world, row.id, GIVEN)
    assert "a block failed unexpectedly" in world.log.getvalue()


@module
async def test_secret_inputs_reach_the_blocks_and_no_record(world: World) -> None:
    nodes = [
        TYPED_INPUT,
        GIVEN_INPUT,
        node("fill", FILL, format="Bearer {{a}}/{{b}}"),
        node("use", "secretive"),
        node("again", "secretive"),
        OUT,
    ]
    joined = [
        "typed.result > fill.values_#_a",
        "given.result > fill.values_#_b",
        "fill.output > use.value",
        "given.result > use.key",
        "use.value > again.value",
        "again.value > out.value",
    ]
    row = await run(world, agent(nodes, joined), given=GIVEN)
    assert (row.status, row.error) == (Status.COMPLETED, None)
    first, second = SEEN
    assert first == (f"Bearer {TYPED}/{GIVEN}", GIVEN)
    assert second == ({"echo": [f"Bearer {TYPED}/{GIVEN}"]}, "")
    await assert_hidden(world, row.id, TYPED, GIVEN)
    outputs = await world.platform.executions.outputs(row)
    assert outputs == [("got", {"echo": [{"echo": ["Bearer ***/***"]}]})]
    views = (await world.platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    assert [each.outputs for each in views if each.node == "fill"] == [[("output", "Bearer ***/***")]]


def shouting() -> dict[str, Any]:
    nodes = [node("in", INPUT, name="text"), node("use", "secretive"), node("o", OUTPUT, name="loud")]
    return agent(nodes, ["in.result > use.value", "use.value > o.value"])


def with_typed_secrets() -> dict[str, Any]:
    """Secrets that its author typed wherever one can be typed."""
    sub = shouting()
    sub["nodes"][0]["input_default"]["secret"] = True
    nodes = [
        node("use", "secretive", key=ON_PIN, value={"password": ON_PIN, "plain": "seen"}),
        node("fill", FILL, **{"format": "{{token}}!", "values_#_token": ON_PIN}),
        node("sub", AGENT, graph_id=sub["id"], graph_version=1, inputs={"text": TYPED}, input_schema={}),
        node("web", WEB, url="https://x.example/", headers={"Authorization": f"Bearer {ON_PIN}"}),
        OUT,
    ]
    nodes[2]["input_default"]["output_schema"] = {"properties": {"loud": {}}}
    return agent(nodes, ["fill.output > out.value"], subs=[sub])


@module
async def test_secrets_typed_on_any_block_are_used_and_nowhere_in_the_open(world: World) -> None:
    row = await run(world, with_typed_secrets())
    assert (row.status, row.error, row.failures) == (Status.COMPLETED, None, [])
    assert ({"password": ON_PIN, "plain": "seen"}, ON_PIN) in SEEN and (TYPED, "") in SEEN
    assert world.web[0][2]["headers"]["Authorization"] == f"Bearer {ON_PIN}"
    await assert_hidden(world, row.id, ON_PIN, TYPED)
    outputs = await world.platform.executions.outputs(row)
    assert outputs == [("got", "***!")]
    views = {
        str(each.node): each for each in (await world.platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    }
    assert views["use"].inputs["key"] == MASK and views["use"].inputs["value"] == {"password": MASK, "plain": "seen"}
    assert views["web"].inputs["headers"] == {"Authorization": MASK}


@module
async def test_an_agent_with_typed_secrets_is_shown_and_edited_without_them(world: World) -> None:
    platform = world.platform
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(with_typed_secrets()))
    seen = shown(await platform.graphs.agent(LOCAL_WORKSPACE, GraphId(row.id)), platform.registry)
    text = seen.model_dump_json()
    assert [each for each in (*CANARIES, "treadle-secret.") if each in text] == [] and MASK in text
    again = await platform.graphs.save(LOCAL_WORKSPACE, seen)
    assert again.version == row.version, "what is saved as it was shown has not changed"
    seen.nodes[0].input_default["fail"] = True
    edited = await platform.graphs.save(LOCAL_WORKSPACE, seen)
    assert edited.version == row.version + 1
    id = await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), {})
    ended = await asyncio.wait_for(platform.worker.finished(LOCAL_WORKSPACE, id), 60)
    assert ended.status is Status.FAILED and ({"password": ON_PIN, "plain": "seen"}, ON_PIN) in SEEN
    await assert_hidden(world, id, ON_PIN, TYPED)


@module
async def test_secrets_that_a_rerun_is_given_are_in_no_record(world: World) -> None:
    nodes = [node("use", "secretive", key=TYPED), OUT]
    platform = world.platform
    row = await run(world, agent(nodes, ["use.value > out.value"]))
    firings = (await platform.executions.firings(LOCAL_WORKSPACE, row.id)).firings
    [first] = [each for each in firings if each.node == "use"]
    for edits, key in (({"key": ON_PIN, "value": 1}, ON_PIN), ({"key": MASK, "value": 2}, TYPED)):
        SEEN.clear()
        id, _ = await platform.executions.rerun(LOCAL_WORKSPACE, row.id, Again((first.number,), edits=edits), now_ms=0)
        again = await asyncio.wait_for(platform.worker.finished(LOCAL_WORKSPACE, id), 60)
        assert (again.status, SEEN) == (Status.COMPLETED, [(edits["value"], key)])
        await assert_hidden(world, id, ON_PIN, TYPED)


@module
async def test_secrets_pass_through_sub_agents_and_for_each(world: World) -> None:
    sub = shouting()
    schema = {"type": "object", "properties": {"text": {}}, "required": ["text"]}
    nodes = [
        GIVEN_INPUT,
        node(
            "sub",
            AGENT,
            graph_id=sub["id"],
            graph_version=1,
            input_schema=schema,
            output_schema={"properties": {"loud": {}}},
        ),
        node("each", FOR_EACH, graph_id=sub["id"], input_name="text", output_name="loud"),
        node("list", FILL, format='["{{x}}"]'),
        node("again", "secretive"),
    ]
    joined = [
        "given.result > sub.text",
        "sub.loud > again.value",
        "given.result > list.values_#_x",
        "list.output > each.items",
    ]
    row = await run(world, agent(nodes, joined, subs=[sub]), given=GIVEN)
    assert (row.status, row.error) == (Status.COMPLETED, None)
    assert [value for value, _ in SEEN if value == GIVEN] == [GIVEN, GIVEN]
    assert ({"echo": [GIVEN]}, "") in SEEN
    await assert_hidden(world, row.id, GIVEN)


@module
async def test_secrets_are_not_in_what_a_person_is_asked_nor_in_a_models_turns(world: World) -> None:
    world.server.will(Say(calls=[("use", json.dumps({"value": GIVEN}))]), Say(f"It was {GIVEN}."))
    nodes = [
        GIVEN_INPUT,
        node("ask", REVIEW, name="May I?"),
        node("decide", DECIDE, model=MODEL, agent_mode_max_iterations=3),
        node("use", "secretive", "Use"),
        OUT,
    ]
    joined = [
        "given.result > ask.data",
        "ask.approved_data > decide.prompt",
        "decide.tools > use.value",
        "decide.finished > out.value",
    ]
    row = await run(world, agent(nodes, joined), given=GIVEN)
    assert row.status is Status.REVIEW
    await assert_hidden(world, row.id, GIVEN)
    platform = world.platform
    [review] = await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.id, only_waiting=True)
    await platform.executions.reviews.decide(LOCAL_WORKSPACE, Decision(row.id, review.firing, approved=True))
    row = await asyncio.wait_for(platform.worker.finished(LOCAL_WORKSPACE, row.id), 60)
    assert (row.status, SEEN) == (Status.COMPLETED, [(GIVEN, "")])
    assert await platform.executions.outputs(row) == [("got", "It was ***.")]
    await assert_hidden(world, row.id, GIVEN)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("{{credentials}}{{OPENAI_API_KEY}}{{env}}{{secrets}}{{ctx}}", Status.COMPLETED),
        ("{{credentials.secret}}", Status.FAILED),
        ("{{credentials.x}}", Status.FAILED),
    ],
)
@module
async def test_l4_templates_and_prompts_have_no_credentials(world: World, text: str, status: Status) -> None:
    world.server.will(Say("ok"))
    nodes = [node("fill", FILL, format=text, values={"a": "b"}), node("write", WRITE, model=MODEL, prompt=text + "!")]
    row = await run(world, agent([*nodes, OUT], ["fill.output > out.value"]))
    assert row.status is status
    assert KEY not in json.dumps(world.server.bodies)
    await assert_hidden(world, row.id)


@module
async def test_k3_an_export_has_no_secrets(world: World) -> None:
    nodes = [
        TYPED_INPUT,
        node("use", "secretive", key=ON_PIN),
        node("web", WEB, url="https://x.example", headers={"Authorization": ON_PIN}),
    ]
    platform = world.platform
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(agent(nodes, [])))
    exported = export_agent(await platform.graphs.agent(LOCAL_WORKSPACE, GraphId(row.id)), platform.registry)
    assert [each for each in (*CANARIES, "treadle-secret.") if each.encode() in exported] == []
    again = await platform.graphs.save(LOCAL_WORKSPACE, await platform.graphs.agent(LOCAL_WORKSPACE, GraphId(row.id)))
    assert again.version == row.version


@module
async def test_k8_what_blocks_say_cannot_forge_lines_of_the_log(world: World) -> None:
    before = len(world.log.getvalue())
    nasty = 'x\n{"level": "CRITICAL", "message": "forged"}\r\x1b[2J\u2028\x9b31m\u202e\u200b\U000e0041'
    row = await run(world, agent([node("bad", "secretive", nasty, fail=True, value=nasty)], []))
    assert row.status is Status.FAILED
    logging.getLogger("treadle").warning("a block said %s", nasty, extra={"said": nasty})
    new = world.log.getvalue()[before:]
    assert "forged" in new
    assert new
    assert all(json.loads(line)["level"] != "CRITICAL" for line in new.split("\n") if line)
    assert not set(new) & set("\r\x1b\x9b\u2028\u202e\u200b\U000e0041")
