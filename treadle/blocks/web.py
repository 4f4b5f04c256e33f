"""Web requests of any kind, and Wikipedia."""

from enum import Enum
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context, Reply
from treadle.sdk.credentials import AuthKind, Credentials, CredentialsRef, credentials_pin
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.file_types import mime_of, sniff, suffix_of
from treadle.sdk.http_body import Body, multipart
from treadle.sdk.pins import Inputs, Outputs, pin

_CATEGORIES = ("OUTPUT",)
_MOST_FILES = 50


class Method(Enum):
    """What is asked of the server."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    PATCH = "PATCH"
    OPTIONS = "OPTIONS"
    HEAD = "HEAD"


class WebRequest(Inputs):
    """Pins of a web request."""

    url: str = pin("The address, beginning with https:// or http://.", placeholder="https://api.example.com/items")
    method: Method = pin("The method of the request.", default=Method.POST)
    headers: dict[str, str] = pin("Headers to send.", default_factory=dict)
    json_format: bool = pin("Send the body as JSON; else as a form.", default=True)
    body: dict[str, Any] | None = pin("The body: an object, or the fields of a form.", default=None)
    files_name: str = pin("The form field under which files are sent.", default="file")
    files: list[str] = pin("Files to send, with the body as further fields of the form.", default_factory=list)


class WebAnswer(Outputs):
    """The answer, on a pin that tells how the request went."""

    response: Any = pin("The answer to a request that went well: JSON as a value, a file as its name, else text.")
    client_error: Any = pin("The answer to a request that the server refused (status 400 to 499).")
    server_error: Any = pin("The answer of a server in trouble (status 500 to 599).")


@block(
    id="6595ae1f-b924-42cb-9a41-551a0611c4b4",
    name="SendWebRequestBlock",
    outputs=WebAnswer,
    work=Work.EFFECT,
    categories=_CATEGORIES,
    examples=(
        Example(
            {"url": "https://api.example.com/ping", "method": "GET"},
            [("response", "pong")],
            context={"http": [lambda request: "pong"]},
        ),
    ),
)
async def send_web_request(inputs: WebRequest, ctx: Context) -> Stream:
    """Send a request to a web address and give back the answer, by whether it went well."""
    yield await _exchange(inputs, ctx, None)


class AuthenticatedWebRequest(WebRequest):
    """Pins of a web request with credentials."""

    credentials: CredentialsRef = credentials_pin(
        "http",
        kinds=(AuthKind.HOST_SCOPED,),
        discriminator="url",
        description="The headers to send along; they are sent only to the hosts that they are for.",
    )


@block(
    id="fff86bcd-e001-4bad-a7f6-2eae4720c8dc",
    name="SendAuthenticatedWebRequestBlock",
    outputs=WebAnswer,
    work=Work.EFFECT,
    categories=_CATEGORIES,
    examples=(
        Example(
            {
                "url": "https://api.example.com/me",
                "method": "GET",
                "credentials": {"id": "1", "provider": "http", "type": "host_scoped"},
            },
            [("response", "you")],
            context={
                "http": [lambda request: "you"],
                "credentials": {
                    "credentials": Credentials(
                        id="1",
                        provider="http",
                        kind=AuthKind.HOST_SCOPED,
                        secret=SecretStr(""),
                        headers={"X-Key": SecretStr("an example")},
                        hosts=("api.example.com",),
                    )
                },
            },
        ),
    ),
)
async def send_authenticated_web_request(inputs: AuthenticatedWebRequest, ctx: Context) -> Stream:
    """Send a request to a web address with stored credentials. They go only to the hosts that they are for."""
    credentials = ctx.credentials.get("credentials")
    if credentials is None:
        raise CredentialsNeeded(
            "The request needs credentials, and none are chosen.", fix="Choose credentials for the host of the address."
        )
    yield await _exchange(inputs, ctx, credentials)


async def _exchange(inputs: WebRequest, ctx: Context, credentials: Credentials | None) -> tuple[str, Any]:
    send = partial(ctx.http.request, inputs.method.value, _address(inputs.url), credentials=credentials)
    if inputs.files:
        form = await _form_with_files(inputs, ctx)
        own = {name: value for name, value in inputs.headers.items() if name.lower() != "content-type"}
        reply = await send(headers={**own, "Content-Type": form.content_type}, content=form.content)
    elif inputs.json_format:
        reply = await send(headers=inputs.headers, json=inputs.body)
    else:
        reply = await send(headers=inputs.headers, data=inputs.body)
    return _outcome(reply), await _answer(reply, ctx)


def _address(url: str) -> str:
    """The address; one without a scheme is meant as https."""
    url = url.strip()
    return url if "://" in url else f"https://{url}"


async def _form_with_files(inputs: WebRequest, ctx: Context) -> Body:
    if len(inputs.files) > _MOST_FILES:
        raise BlockError(f"One request carries at most {_MOST_FILES} files.", fix="Send fewer files at once.")
    names = [await ctx.files.store(each) for each in inputs.files]
    parts = [(inputs.files_name, (name, await ctx.files.read(name), mime_of(name))) for name in names]
    return multipart(inputs.body or {}, parts)


def _outcome(reply: Reply) -> str:
    if 200 <= reply.status < 300:
        return "response"
    if 400 <= reply.status < 500:
        return "client_error"
    if 500 <= reply.status < 600:
        return "server_error"
    raise BlockError(
        f"The server answered with status {reply.status}, which is neither success nor failure.",
        fix="Check the address; it may have moved.",
    )


async def _answer(reply: Reply, ctx: Context) -> Any:
    """JSON as a value, text as text. Anything else would be damaged as text: it becomes a file of the run."""
    if not reply.body:
        return None
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return reply.json()
        except (ValueError, BlockError):
            return reply.text()
    kind = sniff(reply.body)
    if kind is None or kind.text or media_type.startswith("text/"):
        return reply.text()
    name = PurePosixPath(urlsplit(reply.url).path).stem or "answer"
    suffix = f".{kind.suffixes[0]}" if suffix_of(media_type) == ".bin" else suffix_of(media_type)
    return await ctx.files.write(f"{ctx.node}_{ctx.firing}_{name}{suffix}", reply.body)


class Topic(Inputs):
    """Pins of the Wikipedia summary."""

    topic: str = pin("The title of the article.", placeholder="Ada Lovelace")


class Summary(Outputs):
    """The summary."""

    summary: str = pin("The first paragraph of the article.")


@block(
    id="f5b0f5d0-1862-4d61-94be-3ad0fa772760",
    name="GetWikipediaSummaryBlock",
    outputs=Summary,
    work=Work.READ,
    categories=("SEARCH",),
    examples=(
        Example(
            {"topic": "Oslo"},
            [("summary", "Oslo is the capital of Norway.")],
            context={"http": [lambda request: {"extract": "Oslo is the capital of Norway."}]},
        ),
    ),
)
async def get_wikipedia_summary(inputs: Topic, ctx: Context) -> Stream:
    """The first paragraph of a Wikipedia article, in English."""
    title = quote(inputs.topic.strip().replace(" ", "_"), safe="")
    address = f"https://en.wikipedia.org/api/rest_v1/page/summary/{title}"
    reply = await ctx.http.request("GET", address, max_bytes=1_000_000)
    if reply.status == 429 or reply.status >= 500:
        raise RetryLater(f"Wikipedia answered with status {reply.status}.", fix="Try again later.")
    answer = reply.json() if reply.status == 200 else {}
    summary = answer.get("extract") if isinstance(answer, dict) else None
    if not summary:
        raise BlockError(
            f"Wikipedia has no article {inputs.topic[:80]!r} (status {reply.status}).",
            fix="Give the title as it is on Wikipedia.",
        )
    yield "summary", summary


BLOCKS = (send_web_request, send_authenticated_web_request, get_wikipedia_summary)
