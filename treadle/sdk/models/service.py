"""Asking models: the one function through which every AI block reaches every provider."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused, RetryLater
from treadle.sdk.models import anthropic_messages, gemini, mistral, openai_chat
from treadle.sdk.models.calls import Access, Call, open_access, prepare, resolve
from treadle.sdk.models.catalogue import Model, find, models, providers
from treadle.sdk.models.messages import ModelReply, ModelRequest

MAX_PROMPT_CHARS = 4_000_000
"""The longest prompt in characters, tools included: what the largest windows of today hold."""

MAX_WAIT = 30.0
"""The longest wait in seconds between two tries here; a longer wish is left to the node's retry policy."""

MAX_LISTED = 2000

_log = logging.getLogger(__name__)

_ASK: dict[str, Callable[[Call], Awaitable[ModelReply]]] = {
    "openai": openai_chat.complete,
    "anthropic": anthropic_messages.complete,
    "gemini": gemini.complete,
    "mistral": mistral.complete,
}
_LIST: dict[str, Callable[[Access], Awaitable[list[str]]]] = {
    "openai": openai_chat.list_models,
    "anthropic": anthropic_messages.list_models,
    "gemini": gemini.list_models,
    "mistral": mistral.list_models,
}


async def complete(request: ModelRequest, ctx: Context) -> ModelReply:
    """Ask a model and give its whole answer; text is shown through ``ctx.on_progress`` while it comes.

    Tokens, calls and cost are added to ``ctx.usage``. Passing failures are tried ``request.attempts`` times, after the
    wait that the provider asks for, or else a growing random one.

    Raises:
        InputRefused: the model, the server's address or the prompt's size cannot be used.
        CredentialsNeeded: no credentials, or the provider refuses them.
        RetryLater: a passing failure that did not pass.
        BlockError: anything else that the provider refuses, with what to do about it.
    """
    _check_size(request)
    call = prepare(request, ctx)
    for tried in range(1, max(1, request.attempts) + 1):
        try:
            return _account(await _ask(call), call, ctx)
        except RetryLater as error:
            wait = error.retry_after if error.retry_after is not None else 2.0**tried * random.uniform(0.5, 1.0)
            if tried >= request.attempts or wait > MAX_WAIT:
                raise
            await (ctx.sleep or asyncio.sleep)(wait)
    raise AssertionError("the last try either answers or raises")


def describe(model: str, ctx: Context, *, pin: str = "credentials") -> Model:
    """What is known about the model that this name means in this context; of an unknown one, its provider only.

    Raises:
        InputRefused: nobody knows who serves it.
    """
    provider, name = resolve(model, ctx.credentials.get(pin))
    return find(name, provider.name) or Model(name, provider.name)


async def list_models(provider: str, ctx: Context, *, host: str = "", pin: str = "credentials") -> list[str]:
    """The names of the models that a provider's server offers now, sorted; any other name may be tried as well.

    Raises:
        InputRefused: no such provider.
        CredentialsNeeded, RetryLater, BlockError: as ``complete``.
    """
    found = providers().get(provider)
    if found is None:
        raise InputRefused({"provider": f"unknown: {provider[:40]!r}"}, fix=f"Choose one of {', '.join(providers())}.")
    if provider == "local":
        return [model.name for model in models() if model.provider == provider]
    access = open_access(found, ctx.credentials.get(pin), ctx, host=host, timeout=60.0)
    return sorted(await _LIST[found.api](access))[:MAX_LISTED]


async def _ask(call: Call) -> ModelReply:
    try:
        async with asyncio.timeout(call.request.timeout):
            return await _ASK[call.access.provider.api](call)
    except TimeoutError:
        title = call.access.provider.title
        raise RetryLater(
            f"{title} did not finish its answer within {call.request.timeout:g} s.",
            fix="Ask for a shorter answer, or choose a faster model.",
        ) from None


def _account(reply: ModelReply, call: Call, ctx: Context) -> ModelReply:
    """Complete the reply with what it cost, and book it."""
    provider = call.access.provider
    cost = reply.cost_usd if reply.price_known else None
    if cost is None and call.known is not None:
        cost = call.known.cost(reply.input_tokens, reply.output_tokens)
    if cost is None:
        _log.info(
            "the price of %s at %s is not known: its tokens are counted, its cost is not", call.model, provider.name
        )
    ctx.usage.calls += 1
    ctx.usage.input_tokens += reply.input_tokens
    ctx.usage.output_tokens += reply.output_tokens
    ctx.usage.cost_usd += cost or 0.0
    return replace(reply, cost_usd=cost or 0.0, price_known=cost is not None, provider=provider.name, model=call.model)


def _check_size(request: ModelRequest) -> None:
    if not request.messages:
        raise InputRefused({"prompt": "nothing to say to the model"}, fix="Give a prompt.")
    size = sum(len(each.text) + sum(len(call.arguments) for call in each.calls) for each in request.messages)
    size += sum(len(str(tool.parameters)) + len(tool.description) for tool in request.tools)
    if size > MAX_PROMPT_CHARS:
        raise BlockError(
            f"The prompt has {size} characters, more than the {MAX_PROMPT_CHARS} that may be sent.",
            fix="Shorten the prompt, or summarise its parts first.",
        )
