"""Web requests: what is sent, which pin answers, and credentials that go only where they may."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from treadle.blocks.web import get_wikipedia_summary, send_authenticated_web_request, send_web_request
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.testing import ScriptedHttp, ScriptedReply, SentRequest, make_context, run_block

URL = "https://x.test/a"
PNG = b"\x89PNG\r\n\x1a\n"


async def exchange(inputs: Mapping[str, Any], answer: ScriptedReply) -> tuple[Any, SentRequest]:
    http = ScriptedHttp([lambda request: answer])
    (emission,) = await run_block(send_web_request, inputs, make_context(http=http))
    return emission, http.sent[0]


@pytest.mark.parametrize(
    ("status", "pin"),
    [(200, "response"), (299, "response"), (400, "client_error"), (404, "client_error"), (503, "server_error")],
)
async def test_the_pin_tells_how_it_went(status: int, pin: str) -> None:
    emission, _ = await exchange({"url": URL}, ScriptedReply("text", status=status))
    assert emission == (pin, "text")


@pytest.mark.parametrize("status", [102, 304, 600])
async def test_other_answers_fail(status: int) -> None:
    with pytest.raises(BlockError, match=str(status)):
        await exchange({"url": URL}, ScriptedReply("", status=status))


@pytest.mark.parametrize(
    ("content", "kind", "value"),
    [
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "application/problem+json", {"a": 1}),
        (b"{broken", "application/json", "{broken"),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b"", "application/json", None),
        (b"<html></html>", "text/html", "<html></html>"),
    ],
)
async def test_values_of_answers(content: bytes, kind: str, value: Any) -> None:
    emission, _ = await exchange({"url": URL}, ScriptedReply(content, headers={"content-type": kind}))
    assert emission == ("response", value)


async def test_a_file_is_kept_as_a_file() -> None:
    answer = ScriptedReply(PNG, headers={"content-type": "image/png"}, url="https://x.test/pic.png")
    context = make_context(http=[lambda request: answer])
    ((_, name),) = await run_block(send_web_request, {"url": URL, "method": "GET"}, context)
    assert name.endswith("_pic.png")
    assert await context.files.read(name) == PNG


async def test_what_is_sent() -> None:
    inputs = {"url": " x.test/a ", "method": "PUT", "headers": {"A": "b"}, "body": {"n": 1}}
    _, sent = await exchange(inputs, ScriptedReply("ok"))
    assert (sent.method, sent.url, sent.headers, sent.json, sent.data) == ("PUT", URL, {"A": "b"}, {"n": 1}, None)
    _, sent = await exchange({**inputs, "json_format": False}, ScriptedReply("ok"))
    assert (sent.json, sent.data) == (None, {"n": 1})
    _, sent = await exchange({"url": URL}, ScriptedReply("ok"))
    assert (sent.method, sent.json, sent.data, sent.content) == ("POST", None, None, None)


async def test_files_go_as_a_form() -> None:
    http = ScriptedHttp([lambda request: "ok"])
    context = make_context(http=http, files={"a.txt": "one", "b.txt": "two"})
    inputs = {
        "url": URL,
        "headers": {"content-type": "application/json", "A": "b"},
        "body": {"n": 1},
        "files": ["a.txt", "b.txt"],
    }
    await run_block(send_web_request, inputs, context)
    sent = http.sent[0]
    assert sent.headers["A"] == "b"
    assert next(value for name, value in sent.headers.items() if name.lower() == "content-type").startswith(
        "multipart/"
    )
    assert sent.content is not None
    assert [sent.content.count(each) for each in (b'name="file"', b"one", b"two", b'name="n"')] == [2, 1, 1, 1]


async def test_credentials_are_handed_to_the_egress_client_alone() -> None:
    credentials = Credentials(
        "1", "http", AuthKind.HOST_SCOPED, SecretStr(""), headers={"K": SecretStr("s3cret")}, hosts=("x.test",)
    )
    http = ScriptedHttp([lambda request: "ok"])
    context = make_context(http=http, credentials={"credentials": credentials})
    reference = {"id": "1", "provider": "http", "type": "host_scoped"}
    await run_block(send_authenticated_web_request, {"url": URL, "credentials": reference}, context)
    assert http.sent[0].credentials is credentials
    assert "s3cret" not in str(http.sent[0])
    with pytest.raises(CredentialsNeeded):
        await run_block(send_authenticated_web_request, {"url": URL, "credentials": reference})


async def test_wikipedia() -> None:
    http = ScriptedHttp([lambda request: {"extract": "s"}])
    assert await run_block(get_wikipedia_summary, {"topic": " A/B ../c?"}, make_context(http=http)) == [
        ("summary", "s")
    ]
    assert http.sent[0].url.endswith("/page/summary/A%2FB_..%2Fc%3F")


@pytest.mark.parametrize(("status", "kind"), [(404, BlockError), (200, BlockError), (429, RetryLater)])
async def test_no_article(status: int, kind: type[BlockError]) -> None:
    context = make_context(http=[lambda request: ScriptedReply({}, status=status)])
    with pytest.raises(kind):
        await run_block(get_wikipedia_summary, {"topic": "x"}, context)
