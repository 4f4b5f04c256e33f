"""Declarative operations: templates, shapes, the requests they become, and what refusals mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from treadle.base.errors import ConfigurationError
from treadle.sdk.block import Block, Work
from treadle.sdk.client import Call, Client, Cursor, PageNumbers, delete, get, post
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, Credentials, CredentialsRef
from treadle.sdk.errors import BlockError, CredentialsNeeded, InputRefused, RetryLater
from treadle.sdk.integration import ApiKey, InHeader, InQuery, Integration, UserPassword
from treadle.sdk.operations import operation
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.request_templates import fill, fill_path, names_in
from treadle.sdk.shapes import Const, Or, Shape, at, each, emissions, items, shaped
from treadle.sdk.testing import RecordedSleep, ScriptedHttp, ScriptedReply, SentRequest, make_context, run_block

KEY = ApiKey(variables=("DOORS_KEY",), obtain="https://doors.example/keys")
DOORS = Integration(
    name="doors",
    title="Doors",
    description="Opens doors.",
    docs="https://doors.example/docs",
    base_url="https://api.doors.example/v1",
    auth=(KEY,),
    headers={"Accept": "application/json"},
    idempotency_header="Idempotency-Key",
)
REF = {"id": "c1", "provider": "doors", "type": "api_key"}


class DoorInputs(Inputs):
    credentials: CredentialsRef = DOORS.pin()
    door: str = pin("Which door.")
    note: str = pin("What to note.", default="")
    wide: bool = pin("How wide.", default=False)


class DoorOutputs(Outputs):
    state: str = pin("How the door is.")
    hinge: str = pin("Each hinge.")


def door_block(call: Call, **rest: Any) -> Block:
    values: dict[str, Any] = {"returns": {"state": "state"}, **rest}
    return operation(
        DOORS,
        id="1",
        name="DoorBlock",
        description="Opens a door.",
        inputs=DoorInputs,
        outputs=DoorOutputs,
        call=call,
        **values,
    )


def credentials(provider: str = "doors", kind: AuthKind = AuthKind.API_KEY) -> Credentials:
    return Credentials("c1", provider, kind, SecretStr("canary"), hosts=("api.doors.example",))


def context(*replies: Any, **rest: Any) -> Context:
    handlers = [lambda request, reply=reply: reply for reply in replies]
    return make_context(http=handlers, **{"credentials": {"credentials": credentials()}, **rest})


def sent(ctx: Context) -> list[SentRequest]:
    assert isinstance(ctx.http, ScriptedHttp)
    return ctx.http.sent


# --- templates ---


@given(st.text(min_size=1))
def test_a_value_stays_one_segment_of_the_path(value: str) -> None:
    if any(part in (".", "..") for part in value.split("/")):
        with pytest.raises(InputRefused):
            fill_path("/doors/{door}/open", {"door": value})
        return
    try:
        path = fill_path("/doors/{door}/open", {"door": value})
    except UnicodeEncodeError:
        return  # a lone surrogate, which no pin lets through
    assert path.startswith("/doors/") and path.endswith("/open")
    assert path.count("/") == 3 and not set(path) & set("?#\\ \r\n")


@pytest.mark.parametrize("value", ["", "..", ".", "a/../b", None])
def test_a_value_cannot_lead_to_another_path(value: str | None) -> None:
    for template in ("/doors/{door}", "/doors/{+door}"):
        with pytest.raises(InputRefused, match="door"):
            fill_path(template, {"door": value})


def test_a_plus_lets_a_value_span_segments() -> None:
    assert fill_path("/files/{+path}", {"path": "/a b/c?.md"}) == "/files/a%20b/c%3F.md"


def test_a_body_keeps_types_and_leaves_out_what_is_not_there() -> None:
    template = {"n": "{n}", "text": "no {n}, {b}", "gone": "{gone}", "list": ["{n}", "{gone}"], "in": {"x": "{empty?}"}}
    values = {"n": 3, "b": True, "gone": None, "empty": ""}
    assert fill(template, values) == {"n": 3, "text": "no 3, true", "list": [3]}


def test_a_value_is_never_taken_for_a_template() -> None:
    assert fill({"text": "{text}", "mixed": "a {text}"}, {"text": "{secret}", "secret": "s"}) == {
        "text": "{secret}",
        "mixed": "a {secret}",
    }


def test_empty_is_not_absent_unless_the_template_says_so() -> None:
    assert fill({"a": "{a}", "b": "{a?}", "c": "{n?}"}, {"a": "", "n": 0}) == {"a": "", "c": 0}
    assert fill({"a": "{a?}"}, {"a": []}) == {}


def test_names_are_found_everywhere() -> None:
    assert names_in({"a": ["{x}", {"b": "and {y?}"}], "c": 1}) == {"x", "y"}


# --- shapes ---

REPLY = {"user": {"login": "mona"}, "doors": [{"id": 1, "hinges": ["a"]}, {"id": 2}], "none": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [("user.login", "mona"), ("doors.1.id", 2), ("doors.7.id", None), ("user.login.x", None), ("none.x", None)],
)
def test_paths(path: str, value: Any) -> None:
    assert at(path, REPLY) == value


def test_shapes() -> None:
    assert shaped({"who": "user.login", "all": items("doors", "id"), "x": Or("none", 5)}, REPLY) == {
        "who": "mona",
        "all": [1, 2],
        "x": 5,
    }
    assert shaped(lambda reply: len(reply), REPLY) == 3


def test_each_sends_one_by_one_and_missing_parts_are_not_sent() -> None:
    returns: dict[str, Shape] = {"ids": items("doors", "id"), "id": each("doors", "id")}
    returns |= {"gone": "none", "ok": Const(True)}
    assert list(emissions(returns, REPLY)) == [("ids", [1, 2]), ("id", 1), ("id", 2), ("ok", True)]


def test_a_reply_without_its_list_is_an_error() -> None:
    with pytest.raises(BlockError, match="no list at 'user'"):
        shaped(items("user", "id"), REPLY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "doors", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_the_reply_is_outputs_or_a_block_error_come_of_it(reply: Any) -> None:
    returns: dict[str, Shape] = {"a": "a.0.id", "b": {"x": Or("doors", 1)}, "c": lambda reply: reply["a"]["id"] + 1}
    try:
        sent = dict(emissions({**returns, "d": each("doors", {"id": "id"})}, reply))
    except BlockError as error:
        assert error.fix
    else:
        assert isinstance(sent["c"], int) and isinstance(at("doors", reply), list)


# --- operations ---


async def test_an_operation_is_a_request_and_its_outputs() -> None:
    block = door_block(post("/doors/{door}", body={"note": "{note?}", "wide": "{wide}"}, params={"v": 2}))
    ctx = context({"state": "open"})
    assert await run_block(block, {"credentials": REF, "door": "front/back"}, ctx) == [("state", "open")]
    request = sent(ctx)[0]
    assert (request.method, request.url) == ("POST", "https://api.doors.example/v1/doors/front%2Fback")
    assert request.json == {"wide": False} and request.params == {"v": 2}
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Idempotency-Key"] == ctx.idempotency_key


async def test_reading_is_marked_as_such_and_takes_no_idempotency_key() -> None:
    block = door_block(get("/doors/{door}"))
    ctx = context({"state": "shut"})
    await run_block(block, {"credentials": REF, "door": "front"}, ctx)
    assert block.work is Work.READ and "Idempotency-Key" not in sent(ctx)[0].headers
    assert door_block(delete("/doors/{door}")).work is Work.EFFECT


@pytest.mark.parametrize(
    ("call", "rest", "name"),
    [
        (get("/doors/{dor}"), {}, "dor"),
        (post("/doors", body={"a": ["{nota}"]}), {}, "nota"),
        (get("/doors"), {"returns": {"stat": "state"}}, "stat"),
    ],
)
def test_a_misspelt_name_is_found_when_the_block_is_declared(call: Call, rest: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"DoorBlock: there is no (in|out)put {name}"):
        door_block(call, **rest)


def test_the_title_spells_the_provider_as_the_manifest_does() -> None:
    github = Integration("github", "GitHub", "Code.", "https://d.example", "https://api.github.com", (KEY,))
    rest: dict[str, Any] = {"description": "D.", "inputs": Inputs, "outputs": Outputs, "call": get("/x"), "returns": {}}
    assert operation(github, id="1", name="GithubAddLabelBlock", **rest).title == "GitHub Add Label"
    assert operation(github, id="1", name="AddLabelBlock", **rest).title == "Add Label"
    assert operation(github, id="1", name="AddLabelBlock", title="Label", **rest).title == "Label"


# --- credentials ---


async def test_credentials_go_as_the_headers_of_the_manifest_to_its_hosts() -> None:
    ctx = context({})
    await Client(DOORS, ctx).call(get("/doors"))
    found = sent(ctx)[0].credentials
    assert found is not None and found.kind is AuthKind.HOST_SCOPED and found.hosts == ("api.doors.example",)
    assert found.headers["Authorization"].get_secret_value() == "Bearer canary"
    assert "canary" not in f"{sent(ctx)[0]!r}"


@pytest.mark.parametrize(
    "base", ["https://evil.example", "https://api.doors.example.evil.example", "https://api.doors.example@evil.example"]
)
async def test_credentials_go_nowhere_else(base: str) -> None:
    ctx = context({})
    with pytest.raises(ConfigurationError, match="may not be sent"):
        await Client(DOORS, ctx).call(get("/doors", base_url=base))
    assert sent(ctx) == []


async def test_other_providers_credentials_do_not_count() -> None:
    for held in ({}, {"credentials": credentials(provider="windows")}):
        with pytest.raises(CredentialsNeeded, match="no Doors credentials") as caught:
            await Client(DOORS, context({}, credentials=held)).call(get("/doors"))
        assert "DOORS_KEY" in caught.value.fix


async def test_placements() -> None:
    query = ApiKey(variables=("K",), obtain="https://x.example", placement=InQuery("key"))
    header = ApiKey(variables=("K",), obtain="https://x.example", placement=InHeader("X-Key", prefix=""))
    for auth, headers, params in ((query, {}, {"key": "canary"}), (header, {"X-Key": "canary"}, {})):
        made = Integration("doors", "Doors", "Doors.", "https://d.example", "https://api.doors.example", (auth,))
        found = made.sent(credentials())
        assert (found.headers, found.params) == (headers, params)
        assert "canary" not in repr(found)


async def test_a_password_is_never_sent_by_itself() -> None:
    auth = UserPassword(variables=("U", "P"), obtain="https://x.example")
    made = Integration("doors", "Doors", "Doors.", "https://d.example", "https://api.doors.example", (auth,))
    ctx = context({}, credentials={"credentials": credentials(kind=AuthKind.USER_PASSWORD)})
    await Client(made, ctx).call(get("/doors"))
    assert sent(ctx)[0].credentials is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"base_url": "http://api.doors.example"}, "https"),
        ({"base_url": "https://api.doors.example/"}, "slash"),
        ({"hosts": ("other.example",)}, "hosts must include"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, Any], problem: str) -> None:
    values: dict[str, Any] = {"base_url": "https://api.doors.example", "auth": (KEY,), **change}
    with pytest.raises(ValueError, match=problem):
        Integration(name="doors", title="Doors", description="Doors.", docs="https://d.example", **values)


# --- refusals ---


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (400, {}, BlockError, None),
        (401, {}, CredentialsNeeded, None),
        (403, {}, CredentialsNeeded, None),
        (403, {"Retry-After": "60"}, RetryLater, 60.0),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225610"}, RetryLater, 10.0),
        (404, {}, BlockError, None),
        (408, {}, RetryLater, None),
        (422, {}, BlockError, None),
        (429, {"retry-after": "7"}, RetryLater, 7.0),
        (429, {"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, RetryLater, 30.0),
        (429, {"Retry-After": "soon"}, RetryLater, None),
        (500, {}, RetryLater, None),
        (503, {"Retry-After": "Wed, 31 Dec 2025 00:00:00 GMT"}, RetryLater, 0.0),
        (304, {}, BlockError, None),
    ],
)
async def test_refusals(status: int, headers: dict[str, str], kind: type[BlockError], wait: float | None) -> None:
    ctx = context(ScriptedReply({"message": "no such door"}, status, headers))
    with pytest.raises(BlockError, match=f"Doors answered {status} to GET /doors/front: no such door") as caught:
        await Client(DOORS, ctx).call(get("/doors/{door}"), {"door": "front"})
    assert type(caught.value) is kind and caught.value.fix
    assert getattr(caught.value, "retry_after", None) == wait


@pytest.mark.parametrize(
    "said", [{"error": {"message": "bad canary"}}, "bad canary", {"errors": [{"message": "bad canary"}]}]
)
async def test_a_secret_in_a_refusal_is_not_repeated(said: Any) -> None:
    with pytest.raises(CredentialsNeeded, match=r"bad \*\*\*"):
        await Client(DOORS, context(ScriptedReply(said, 401))).call(get("/doors"))


async def test_a_reply_that_is_no_json_is_an_error() -> None:
    with pytest.raises(BlockError, match="not JSON"):
        await Client(DOORS, context("<html>")).call(get("/doors"))


async def test_no_content_is_none_and_text_is_text() -> None:
    assert await Client(DOORS, context(ScriptedReply(b"", 204))).call(delete("/doors")) is None
    assert await Client(DOORS, context("<html>")).call(get("/doors", text=True)) == "<html>"


async def test_a_check_raises_for_refusals_in_disguise() -> None:
    def check(reply: Any) -> None:
        if not reply["ok"]:
            raise BlockError("not ok")

    with pytest.raises(BlockError, match="not ok"):
        await Client(DOORS, context({"ok": False})).call(get("/doors", check=check))


# --- paging ---


async def test_pages_by_number_end_with_one_that_is_not_full() -> None:
    ctx = context([1, 2], [3, 4], [5])
    assert await Client(DOORS, ctx).call(get("/doors", paging=PageNumbers(page_size=2))) == [1, 2, 3, 4, 5]
    assert [request.params for request in sent(ctx)] == [{"per_page": 2, "page": page} for page in (1, 2, 3)]


async def test_pages_end_at_the_most() -> None:
    ctx = context([1, 2], [3, 4])
    assert await Client(DOORS, ctx).call(get("/doors", paging=PageNumbers(page_size=2, most=3))) == [1, 2, 3]
    ctx = context([1, 2])
    assert await Client(DOORS, ctx).call(get("/doors", paging=PageNumbers(most=2))) == [1, 2]
    assert sent(ctx)[0].params["per_page"] == 2


async def test_cursors_are_followed_after_a_pause() -> None:
    ctx = context({"doors": [1], "next": "c2"}, {"doors": [2], "next": None})
    paging = Cursor("cursor", next="next", items="doors", pause=2.0)
    assert await Client(DOORS, ctx).call(get("/doors", params={"q": "x"}, paging=paging)) == [1, 2]
    assert [request.params for request in sent(ctx)] == [{"q": "x"}, {"q": "x", "cursor": "c2"}]
    assert isinstance(ctx.sleep, RecordedSleep) and ctx.sleep.seconds == [2.0]


async def test_a_cursor_that_never_ends_ends_at_the_most() -> None:
    ctx = context(*[{"doors": [1], "next": "same"}] * 3)
    assert await Client(DOORS, ctx).call(get("/doors", paging=Cursor("c", "next", "doors", most=3))) == [1, 1, 1]
