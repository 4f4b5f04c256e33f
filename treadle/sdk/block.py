"""The declaration of a block. The UI, the documentation, the copilot and the tests are all derived from it."""

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

from treadle.base.ids import BlockId
from treadle.sdk.context import Context
from treadle.sdk.credentials import credentials_providers
from treadle.sdk.inputs import InputReader
from treadle.sdk.pins import Inputs, Outputs

Emission = tuple[str, Any]
"""One output: the pin's name and the value."""

Stream = AsyncGenerator[Emission, None]
"""What running a block gives: its outputs, in order, as they are made."""

I = TypeVar("I", bound=Inputs)  # noqa: E741
Run = Callable[[I, Context], Stream]


class BlockKind(StrEnum):
    """What role a block plays in a graph; the values are those of exported agent files."""

    STANDARD = "Standard"
    INPUT = "Input"
    OUTPUT = "Output"
    NOTE = "Note"
    WEBHOOK = "Webhook"
    WEBHOOK_MANUAL = "Webhook (manual)"
    AGENT = "Agent"
    AI = "AI"
    HUMAN = "Human In The Loop"
    COLLECT = "Collect"


class Work(StrEnum):
    """What running a block may touch; it decides what must be on disk before the block starts."""

    PURE = "pure"
    """Same input, same output, nothing outside: runs ahead of the disk."""
    READ = "read"
    """Reads the outside (clock, random, a GET): recorded, and the record is used on replay."""
    EFFECT = "effect"
    """Changes the outside: starts only after its own start record is durable."""


@dataclass(frozen=True, slots=True)
class Example:
    """A worked case: shown in the documentation and run as a test of the block."""

    inputs: Mapping[str, Any]
    outputs: Sequence[Emission]
    title: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    """What the test context must hold: see ``treadle.sdk.testing.make_context``."""


@dataclass(frozen=True, eq=False)
class Block:
    """One kind of node. ``run`` is an async generator of outputs; raising ``BlockError`` is sending on ``error``."""

    id: BlockId
    name: str
    """Stable name, as in the catalogue: ``AddToListBlock``."""
    title: str
    """What people read: ``Add To List``."""
    description: str
    inputs: type[Inputs]
    outputs: type[Outputs]
    run: Callable[[Any, Context], Stream]
    categories: tuple[str, ...] = ()
    kind: BlockKind = BlockKind.STANDARD
    version: int = 1
    work: Work = Work.EFFECT
    short: bool = False
    """Takes under a millisecond and never waits: runs on the engine's own loop. Only for pure blocks."""
    static_output: bool = False
    sensitive: bool = False
    streaming: bool = False
    """Outputs go downstream as they are made, instead of when the attempt ends."""
    resumable: bool = False
    """A streaming effect that can go on after ``Context.emitted`` outputs; else it fails after a crash in between."""
    dynamic_outputs: bool = False
    """Output pins are decided by the node's constants (sub-agents)."""
    dynamic_inputs: bool = False
    """Input pins are decided by the node's constants (sub-agents)."""
    loop_pins: tuple[str, ...] = ()
    """Input pins through which a node's own results come back: a firing has a value on all that are linked, or none."""
    disabled: str = ""
    """Why this block may not run here; empty when it may."""
    cost: int = 0
    """Price of one run in credits (1 credit = 1 US cent)."""
    examples: tuple[Example, ...] = ()

    @cached_property
    def reader(self) -> InputReader:
        """Turns what arrived on the pins into the block's input model."""
        return InputReader(self.inputs)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """The providers whose credentials its pins take, sorted."""
        return credentials_providers(self.inputs)

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the input pins."""
        return self.inputs.model_json_schema()

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the output pins."""
        return self.outputs.model_json_schema()


def title_of(name: str) -> str:
    """``AddToListBlock`` -> ``Add To List``; runs of capitals stay together (``AITextGenerator``: ``AI Text ...``)."""
    stem = name.removesuffix("Block")
    words = ""
    for index, letter in enumerate(stem):
        after_lower = index > 0 and letter.isupper() and not stem[index - 1].isupper()
        before_lower = index > 0 and letter.isupper() and index + 1 < len(stem) and stem[index + 1].islower()
        words += (" " if after_lower or before_lower else "") + letter
    return words


def block(*, id: str, name: str, outputs: type[Outputs], title: str = "", **flags: Any) -> Callable[[Run[I]], Block]:
    """Make a block of an async generator function ``run(inputs: SomeInputs, ctx: Context) -> Stream``.

    Its docstring is the description that people read; its first parameter's annotation is the input model. ``flags``
    are the remaining fields of ``Block``.

    Raises:
        TypeError: the function does not have that form.
    """

    def declare(run: Run[I]) -> Block:
        first = next(iter(inspect.signature(run).parameters), None)
        model = get_type_hints(run).get(first) if first else None
        if not (isinstance(model, type) and issubclass(model, Inputs) and inspect.isasyncgenfunction(run)):
            raise TypeError(f"{name}: a block is an async generator whose first parameter is annotated with its Inputs")
        return Block(
            id=BlockId(id),
            name=name,
            title=title or title_of(name),
            description=inspect.getdoc(run) or "",
            inputs=model,
            outputs=outputs,
            run=run,
            **flags,
        )

    return declare
