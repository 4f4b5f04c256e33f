"""The one function that runs a block, and the policy around it. There is no other way to run one."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from treadle.base.ids import WorkspaceId
from treadle.engine.ports import Services, Settlement
from treadle.engine.run import NodeSpec
from treadle.engine.secrets import FiringSecrets
from treadle.kernel.firing import Firing
from treadle.kernel.normal import SCALARS, NotData, normal
from treadle.sdk.block import Block, Emission, Work
from treadle.sdk.context import Context, Suspend, Usage
from treadle.sdk.credentials import Credentials
from treadle.sdk.errors import BlockError, RetryLater

NOTHING = Settlement()
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """How an attempt ended."""

    outputs: list[Emission] = field(default_factory=list)
    """What was sent and not yet passed on."""
    error: str = ""
    passing: bool = False
    """The failure may pass: it is worth trying again."""
    retry_after: float | None = None
    suspended: Suspend | None = None
    settlement: Settlement = NOTHING

    def hide(self, secrets: FiringSecrets) -> None:
        """Take the secrets that the block was given out of what came of it."""
        self.outputs = secrets.sealed(self.outputs)
        self.error = secrets.masked(self.error)
        if self.suspended is not None:
            self.suspended.payload = secrets.sealed(self.suspended.payload)


def restart_refusal(spec: NodeSpec, firing: Firing) -> str:
    """Why a firing whose start was durable and whose end was not may not run again after a crash; empty if it may."""
    if not firing.begun:
        return ""
    if spec.node.policy.on_restart == "fail":
        return "Its worker died while it ran, and the node says not to run again after that."
    if would_repeat(spec, firing):
        return f"Its worker died after it had sent {firing.emitted} values; the block cannot go on from there."
    return ""


def would_repeat(spec: NodeSpec, firing: Firing) -> bool:
    """Whether running the firing again would do again what it did outside before the values it has sent."""
    block = spec.block
    return bool(firing.emitted and block is not None and block.work is Work.EFFECT and not block.resumable)


def recorded_usage(usage: Usage) -> dict[str, Any]:
    """What an attempt has used of models and paid services, as its record says it; empty when that is nothing."""
    if not (usage.calls or usage.input_tokens or usage.output_tokens or usage.cost_usd):
        return {}
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "sent_tokens": usage.input_tokens,
        "received_tokens": usage.output_tokens,
        "calls": usage.calls,
        "usd": usage.cost_usd,
    }


def run_inline(spec: NodeSpec, block: Block, inputs: Mapping[str, Any], context: Context) -> Outcome:
    """Run a block that declared itself short, here and now, without a task.

    The generator is driven by hand: it may not wait for anything.
    """
    outcome = Outcome()
    outputs = outcome.outputs
    try:
        stream = block.run(block.reader.read(inputs), context)
        while True:
            try:
                stream.asend(None).send(None)
            except StopIteration as sent:
                outputs.append(checked(spec, sent.value))
            else:
                outcome.error = f"The block {block.title} is declared short, but it waits: a fault of the block."
                break
    except StopAsyncIteration:
        pass
    except Suspend:
        outcome.error = f"The block {block.title} is declared short, but it waits: a fault of the block."
    except Exception as error:  # noqa: BLE001 (a block is foreign code: whatever it raises is the failure of its node)
        note_failure(outcome, error, spec)
    return outcome


async def run_attempt(
    spec: NodeSpec,
    inputs: Mapping[str, Any],
    context: Context,
    services: Services,
    workspace: WorkspaceId,
    held: int,
    emit: Callable[[Emission], Awaitable[None] | None] | None = None,
) -> Outcome:
    """Run one attempt of a firing in the current task, within the node's time limit.

    ``emit`` is given each output of a streaming block as it is made, and may ask it to wait before it goes on; other
    blocks' outputs are in the outcome.
    """
    block = spec.block
    outcome = Outcome()
    if block is None or spec.refusal:
        outcome.error = spec.refusal
        return outcome
    skip = context.emitted if block.streaming and not block.resumable else 0
    try:
        async with asyncio.timeout(spec.node.policy.timeout):
            context.credentials = await services.credentials.credentials_for(workspace, block, inputs)
            ask_if_sensitive(block, inputs, context)
            if services.rates is not None:
                await services.rates.wait(context.credentials.values())
            # Closed here: a block that is cut off while it sends lets go of what it has now, not when it is collected.
            async with aclosing(block.run(block.reader.read(with_references(inputs, context)), context)) as stream:
                async for emission in stream:
                    sent = checked(spec, emission)
                    if skip:
                        skip -= 1
                    elif emit is None:
                        outcome.outputs.append(sent)
                    elif (pause := emit(sent)) is not None:
                        await pause
    except Suspend as wish:
        note_wish(outcome, wish)
    except TimeoutError:
        outcome.error = f"Took longer than its limit of {spec.node.policy.timeout:g} seconds."
        outcome.passing = True
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        outcome.error = "Something that the block waited for was cancelled."
    except Exception as error:  # noqa: BLE001 (a block is foreign code: whatever it raises is the failure of its node)
        note_failure(outcome, error, spec)
    if outcome.error and context.credentials:
        outcome.error = _without_secrets(outcome.error, context.credentials.values())
    outcome.settlement = services.charges.settle(workspace, block, held, context.usage, bool(outcome.error))
    return outcome


def with_references(inputs: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The inputs, each credentials pin with the reference to what was found for it: exported agents name none."""
    return {**inputs, **{pin: found.reference() for pin, found in context.credentials.items()}}


def _without_secrets(text: str, credentials: Iterable[Credentials]) -> str:
    """A message in which a library may have quoted what it was given."""
    for each in credentials:
        for secret in (each.secret, *each.headers.values()):
            if value := secret.get_secret_value():
                text = text.replace(value, "***")
    return text


def ask_if_sensitive(block: Block, inputs: Mapping[str, Any], context: Context) -> None:
    """In safe mode a sensitive action waits for a person's word. Raises ``Suspend``, or ``BlockError`` on a no."""
    if block.sensitive and context.ask_before_sensitive:
        decision = context.review(dict(inputs), message=f"{block.title} asks for your approval.", editable=False)
        if not decision.approved:
            raise BlockError(f"Not approved. {decision.message}".strip())


def checked(spec: NodeSpec, emission: Emission) -> Emission:
    """The emission as plain data. Raises ``BlockError`` when it is no data, or was sent on ``error``."""
    pin, value = emission
    if pin == "error":
        raise BlockError(str(value))
    if type(value) in SCALARS:
        return emission
    try:
        plain = normal(value)
    except NotData as error:
        raise BlockError(f"Sent {error} on its pin {pin!r}, which has no JSON form.") from error
    return emission if plain is value else (pin, plain)


def note_wish(outcome: Outcome, wish: Suspend) -> None:
    """Say in the outcome that the firing wants to wait, and with what; that must be data."""
    try:
        wish.payload = normal(wish.payload)
        outcome.suspended = wish.with_traceback(None)  # which holds this attempt, and all that it has
    except NotData as error:
        outcome.error = f"Wants to wait with {error}, which has no JSON form."


def note_failure(outcome: Outcome, error: Exception, spec: NodeSpec) -> None:
    """Say in the outcome what went wrong."""
    if isinstance(error, BlockError):
        outcome.error = error.told
        outcome.passing = isinstance(error, RetryLater)
        outcome.retry_after = error.retry_after if isinstance(error, RetryLater) else None
        return
    # Not the message: it may quote what the block was given. It is in the run, without its secrets.
    where = "".join(traceback.format_tb(error.__traceback__))
    extra = {"block": spec.node.block_id, "node": spec.node.id, "error": type(error).__name__, "where": where}
    _log.warning("a block failed unexpectedly", extra=extra)
    outcome.error = f"{type(error).__name__}: {error}"
