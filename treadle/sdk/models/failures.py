"""What providers say when they fail, as the errors that the engine and people understand."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from treadle.base.errors import TreadleError
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.http import retry_after
from treadle.sdk.models.calls import NO_KEY, Access

_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum context|prompt is too long|too many tokens|input token count|exceeds? the"
    r" (available context|maximum number of tokens)",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(r"insufficient_quota|credit balance|billing|payment", re.IGNORECASE)
_DELAY = re.compile(r'"retryDelay":\s*"(\d+(?:\.\d+)?)s"')
_MESSAGE_CHARS = 300


@contextmanager
def wire_errors(access: Access) -> Iterator[None]:
    """Turn transport trouble in a client library into our errors; our own, wrapped by a library, come out again."""
    import httpx2  # noqa: PLC0415

    try:
        yield
    except httpx2.HTTPError as error:
        raise unreachable(access, error) from error
    except httpx2.InvalidURL as error:
        raise BlockError(f"{access.base_url[:100]} is not an address.", fix="Correct the server's address.") from error


def unreachable(access: Access, error: BaseException) -> TreadleError:
    """The error for a call that got no, or only half, an answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TreadleError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return RetryLater(
        f"{access.provider.title} could not be reached, or broke off its answer ({type(error).__name__}).",
        fix="Try again later; check the server's address if it is your own.",
    )


def cut_short(access: Access) -> RetryLater:
    """The error for a stream that ended before its end was announced."""
    return RetryLater(f"{access.provider.title} broke off its answer.", fix="Try again.")


def malformed(access: Access) -> RetryLater:
    """The error for an answer that is not what the provider's protocol says."""
    return RetryLater(
        f"{access.provider.title} answered something that is not its own protocol.",
        fix="Try again; if it is your own server, check that its address is that of its OpenAI-compatible interface.",
    )


def refused(access: Access, model: str, status: int, headers: Mapping[str, str], body: Any) -> BlockError:
    """The error for an answer with an error status. ``body`` is JSON, text or None; the key is cut out of it."""
    if status < 400:
        return malformed(access)
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    if access.key != NO_KEY:
        text = text.replace(access.key, "***")
    said = f"{access.provider.title} answered {status}: {_message(text)}"
    if status in (400, 413, 422) and (_TOO_LONG.search(text) or status == 413):
        return BlockError(
            f"The prompt is too long for {model}. {said}",
            fix="Shorten the prompt, summarise its parts first, or choose a model with a larger context window.",
        )
    if status == 402 or (status in (400, 403, 429) and _NO_MONEY.search(text)):
        return BlockError(f"The account has no credit left. {said}", fix=f"Top up the {access.provider.title} account.")
    if status in (401, 403):
        return CredentialsNeeded(
            said, fix=f"Choose {access.provider.title} credentials that are valid and may use {model}."
        )
    if status == 404:
        return BlockError(
            f"There is no model {model!r} for this account. {said}", fix="Choose another model; names must be exact."
        )
    if status in (408, 409, 425, 429) or status >= 500:
        return RetryLater(said, fix="Try again later.", retry_after=_wish(headers, text))
    return BlockError(said, fix="Change the node's input as the message says.")


def _wish(headers: Mapping[str, str], text: str) -> float | None:
    wish = retry_after(headers)
    if wish is None and (found := _DELAY.search(text)):
        return float(found[1])
    return wish


def _message(text: str) -> str:
    """The sentence for people inside an error body, on one line."""
    try:
        found = _deepest(json.loads(text)) or text
    except ValueError:
        found = text
    line = " ".join(found.split())
    return line if len(line) <= _MESSAGE_CHARS else line[: _MESSAGE_CHARS - 1] + "…"


def _deepest(body: Any) -> str:
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict):
        return body if isinstance(body, str) else ""
    for key in ("error", "message", "detail", "msg"):
        if body.get(key):
            return _deepest(body[key])
    return ""
