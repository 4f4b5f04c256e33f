"""The block that answers with a list of texts."""

from typing import Any

from treadle.blocks.ai.checked import Unusable, ask_until, find_json
from treadle.blocks.ai.conversation import as_text, to_items
from treadle.blocks.ai.examples import MODEL, said
from treadle.blocks.ai.pins import account_pin, host_pin, max_tokens_pin, model_pin, tries
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import InputRefused
from treadle.sdk.models.messages import Message, ModelReply, ModelRequest
from treadle.sdk.models.service import complete, describe
from treadle.sdk.pins import Inputs, Outputs, pin

_SCHEMA = {
    "type": "object",
    "properties": {"list": {"type": "array", "items": {"type": "string"}}},
    "required": ["list"],
    "additionalProperties": False,
}


class ListInput(Inputs):
    focus: str | None = pin("What the list should be of.", default=None, advanced=False)
    source_data: str | None = pin("The text from which to take the items.", default=None, advanced=False)
    model: str = model_pin(advanced=True)
    credentials: CredentialsRef | None = account_pin()
    max_retries: int = pin("How often to ask, at most, until there is a list that can be used.", default=3, ge=1, le=5)
    force_json_output: bool = pin("Have the provider enforce JSON; not every model can.", default=False)
    max_tokens: int | None = max_tokens_pin()
    ollama_host: str = host_pin()


class ListOutput(Outputs):
    generated_list: list[str] = pin("The whole list.")
    list_item: str = pin("Each item, one after the other.")
    prompt: list[Any] = pin("The messages that were sent to the model.")


@block(
    id="9c0b0450-d199-458b-a731-072189dd6593",
    name="AIListGeneratorBlock",
    outputs=ListOutput,
    categories=("AI", "TEXT"),
    work=Work.EFFECT,
    examples=(
        Example(
            {"model": MODEL, "focus": "primary colours"},
            [
                ("generated_list", ["red", "yellow"]),
                (
                    "prompt",
                    [
                        {
                            "role": "system",
                            "content": 'Answer with JSON of the form {"list": ["first item", "second item"]} and'
                            " nothing else: no comments.",
                        },
                        {"role": "user", "content": "Make a list of: primary colours"},
                    ],
                ),
                ("list_item", "red"),
                ("list_item", "yellow"),
            ],
            context={"http": (said('{"list": ["red", "yellow"]}'),)},
        ),
    ),
)
async def generate_list(inputs: ListInput, ctx: Context) -> Stream:
    """Ask a language model for a list on a subject, or of what it finds in a text."""
    if not (inputs.focus or inputs.source_data):
        raise InputRefused({"focus": "empty, and there is no source_data either"}, fix="Give one of the two.")
    enforced = inputs.force_json_output or describe(inputs.model, ctx).provider == "local"

    async def ask(sent: Any) -> ModelReply:
        return await complete(
            ModelRequest(
                inputs.model,
                sent,
                schema=_SCHEMA if enforced else None,
                max_tokens=inputs.max_tokens,
                host=inputs.ollama_host,
            ),
            ctx,
        )

    items, sent = await ask_until(ask, _messages(inputs), _check, tries(inputs.max_retries))
    yield "generated_list", items
    yield "prompt", to_items(sent)
    for item in items:
        yield "list_item", item


def _messages(inputs: ListInput) -> list[Message]:
    system = 'Answer with JSON of the form {"list": ["first item", "second item"]} and nothing else: no comments.'
    if inputs.source_data:
        system += " Take the items from the data that the user gives, and add none of your own."
    parts = [f"Make a list of: {inputs.focus}" if inputs.focus else "Make a list of what matters most in the data."]
    if inputs.source_data:
        parts.append(f"<data>\n{inputs.source_data}\n</data>")
    return [Message("system", system), Message("user", "\n\n".join(parts))]


def _check(reply: ModelReply) -> list[str]:
    value = find_json(reply.text)
    if isinstance(value, dict) and len(value) == 1:
        [value] = value.values()
    if not isinstance(value, list):
        raise Unusable("it is not a list")
    return [as_text(item) for item in value]


BLOCKS = (generate_list,)
