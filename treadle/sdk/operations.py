"""Declarative operations: a request, where each pin goes in it, and which part of the reply each output is.

    add_label = operation(
        GITHUB,
        id="98bd6b77-9506-43d5-b669-6b9733c4b1f1",
        name="GithubAddLabelBlock",
        description="Puts a label on an issue or pull request.",
        inputs=LabelInputs,
        outputs=StatusOutputs,
        address=ISSUE,
        call=post("/repos/{owner}/{repo}/issues/{number}/labels", body={"labels": ["{label}"]}),
        returns={"status": Const("Label added successfully")},
    )

What does not fit this form is a plain ``@block`` function that uses ``treadle.sdk.client.Client``.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from treadle.base.ids import BlockId
from treadle.sdk.block import Block, Stream, Work, title_of
from treadle.sdk.client import Call, Client
from treadle.sdk.context import Context
from treadle.sdk.integration import Integration
from treadle.sdk.pins import Inputs, Outputs
from treadle.sdk.provider_urls import Address
from treadle.sdk.request_templates import names_in
from treadle.sdk.shapes import Shape, emissions

Prepare = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Further values for the templates, made of the pins' values."""


def operation(
    integration: Integration,
    *,
    id: str,
    name: str,
    description: str,
    inputs: type[Inputs],
    outputs: type[Outputs],
    call: Call,
    returns: Mapping[str, Shape],
    address: Address | None = None,
    prepare: Prepare | None = None,
    prepares: tuple[str, ...] = (),
    **flags: Any,
) -> Block:
    """A block that sends one request. ``prepares`` names what ``prepare`` adds; ``flags`` are fields of ``Block``.

    A GET is ``Work.READ``, anything else ``Work.EFFECT``, unless ``flags`` say otherwise.

    Raises:
        TypeError: a template or ``returns`` names something that there is not.
    """
    known = set(inputs.model_fields) | (address.names() if address else set()) | set(prepares)
    _check(name, names_in(call.path) | names_in(call.params) | names_in(call.body), known, "input")
    _check(name, set(returns), set(outputs.model_fields), "output")

    async def run(pins: Inputs, ctx: Context) -> Stream:
        values = values_of(pins)
        if address is not None:
            values |= address.read(values[address.pin])
        if prepare is not None:
            values |= prepare(values)
        for emission in emissions(returns, await Client(integration, ctx).call(call, values)):
            yield emission

    flags.setdefault("categories", integration.categories)
    flags.setdefault("work", Work.READ if call.method == "GET" else Work.EFFECT)
    return Block(
        id=BlockId(id),
        name=name,
        title=flags.pop("title", "") or _title(integration, name),
        description=description,
        inputs=inputs,
        outputs=outputs,
        run=run,
        **flags,
    )


def values_of(pins: Inputs) -> dict[str, Any]:
    """The pins' values by name, as templates use them."""
    return {name: getattr(pins, name) for name in type(pins).model_fields}


def blocks_in(*modules: ModuleType) -> tuple[Block, ...]:
    """The blocks that these modules define at their top level, in order: adding one needs no other edit."""
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Block))
    return tuple(dict.fromkeys(found))


def _title(integration: Integration, name: str) -> str:
    """The block's name in words, the provider's own name spelt as the provider does: ``GitHub Add Label``."""
    words, own = title_of(name), integration.title
    return own + words[len(own) :] if words.lower().startswith(own.lower()) else words


def _check(name: str, used: set[str], known: set[str], what: str) -> None:
    if unknown := sorted(used - known):
        raise TypeError(f"{name}: there is no {what} {', '.join(unknown)}")
