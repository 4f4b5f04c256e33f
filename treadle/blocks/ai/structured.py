"""The block that answers in JSON with the keys that are asked for."""

import json
from functools import partial
from typing import Any

from treadle.blocks.ai.checked import Unusable, ask_until, find_json
from treadle.blocks.ai.compaction import budget, fit
from treadle.blocks.ai.conversation import from_items, to_items
from treadle.blocks.ai.examples import MODEL, said
from treadle.blocks.ai.pins import account_pin, host_pin, max_tokens_pin, model_pin, retry_pin, tries
from treadle.blocks.ai.text import opening
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import InputRefused
from treadle.sdk.models.messages import Message, ModelReply, ModelRequest
from treadle.sdk.models.service import complete, describe
from treadle.sdk.pins import Inputs, Outputs, pin

Items = list[dict[str, Any]]


class StructuredInput(Inputs):
    prompt: str = pin("What to ask. {{name}} stands for the value of that name.")
    expected_format: dict[str, str] = pin("The keys that the answer must have, each with what it should hold.")
    list_result: bool = pin("The answer is a list of such objects.", default=False)
    model: str = model_pin()
    force_json_output: bool = pin("Have the provider enforce JSON; not every model can.", default=False)
    credentials: CredentialsRef | None = account_pin()
    sys_prompt: str = pin("What the model should know and heed before it reads the prompt.", default="")
    conversation_history: Items | None = pin("What was said before.", default_factory=Items)
    retry: int = retry_pin()
    prompt_values: dict[str, str] = pin(
        "Values for the names in the prompts.", default_factory=dict[str, str], advanced=False
    )
    max_tokens: int | None = max_tokens_pin()
    compress_prompt_to_fit: bool = pin("Shorten a prompt that is too long for the model.", default=True)
    ollama_host: str = host_pin()


class StructuredOutput(Outputs):
    response: dict[str, Any] | Items = pin("The object that was asked for, or the list of them.")
    prompt: list[Any] = pin("The messages that were sent to the model.")


@block(
    id="ed55ac19-356e-4243-a6cb-bc599e9b716f",
    name="AIStructuredResponseGeneratorBlock",
    outputs=StructuredOutput,
    categories=("AI",),
    work=Work.EFFECT,
    examples=(
        Example(
            {
                "model": MODEL,
                "prompt": "Ann is 7.",
                "expected_format": {"name": "the name", "age": "the age"},
                "retry": 1,
            },
            [
                ("response", {"name": "Ann", "age": 7}),
                (
                    "prompt",
                    [
                        {
                            "role": "system",
                            "content": "Answer with one JSON object and nothing else. It has exactly these keys; what"
                            " stands at each says what its value should be:\n"
                            '{\n  "name": "the name",\n  "age": "the age"\n}',
                        },
                        {"role": "user", "content": "Ann is 7."},
                    ],
                ),
            ],
            context={"http": (said('{"name": "Ann", "age": 7}'),)},
        ),
    ),
)
async def generate_structured(inputs: StructuredInput, ctx: Context) -> Stream:
    """Ask a language model for an object with certain keys, and ask again, saying what was wrong, until it has them."""
    if not inputs.expected_format:
        raise InputRefused({"expected_format": "empty"}, fix="Name the keys that the answer should have.")
    messages = await _messages(inputs, ctx)
    enforced = inputs.force_json_output or describe(inputs.model, ctx).provider == "local"

    async def ask(sent: Any) -> ModelReply:
        return await complete(
            ModelRequest(
                inputs.model,
                sent,
                schema=_schema(inputs) if enforced else None,
                max_tokens=inputs.max_tokens,
                host=inputs.ollama_host,
            ),
            ctx,
        )

    response, sent = await ask_until(ask, messages, partial(_check, inputs), tries(inputs.retry))
    yield "response", response
    yield "prompt", to_items(sent)


async def _messages(inputs: StructuredInput, ctx: Context) -> list[Message]:
    asked = await opening(inputs.sys_prompt, inputs.prompt, inputs.prompt_values, ctx)
    history = from_items(inputs.conversation_history or [], "conversation_history")
    messages = [*history, *asked[:-1], Message("system", _instructions(inputs)), asked[-1]]
    window = describe(inputs.model, ctx).window
    if inputs.compress_prompt_to_fit and window:
        return fit(messages, budget(window, inputs.max_tokens))
    return messages


def _instructions(inputs: StructuredInput) -> str:
    keys = json.dumps(inputs.expected_format, ensure_ascii=False, indent=2)
    if not inputs.list_result:
        return (
            "Answer with one JSON object and nothing else. It has exactly these keys; what stands at each says what"
            f" its value should be:\n{keys}"
        )
    whole = '{"list": [...]}' if inputs.force_json_output else "[...]"
    return (
        f"Answer with JSON of the form {whole} and nothing else. Each item of the list is an object with exactly these"
        f" keys; what stands at each says what its value should be:\n{keys}"
    )


def _schema(inputs: StructuredInput) -> dict[str, Any]:
    one: dict[str, Any] = {
        "type": "object",
        "properties": {key: {"description": text} for key, text in inputs.expected_format.items()},
        "required": list(inputs.expected_format),
    }
    if not inputs.list_result:
        return one
    # Providers only take an object at the top.
    return {"type": "object", "properties": {"list": {"type": "array", "items": one}}, "required": ["list"]}


def _check(inputs: StructuredInput, reply: ModelReply) -> Any:
    value = find_json(reply.text)
    if not inputs.list_result:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        _check_keys(inputs, value)
        return value
    if isinstance(value, dict) and isinstance(value.get("list"), list):
        value = value["list"]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Unusable("it is not a list of objects")
    for item in value:
        _check_keys(inputs, item)
    return value


def _check_keys(inputs: StructuredInput, value: Any) -> None:
    if not isinstance(value, dict):
        raise Unusable("it is not a JSON object")
    missing = [key for key in inputs.expected_format if key not in value]
    if missing:
        raise Unusable(f"it lacks the keys {', '.join(missing)}")


BLOCKS = (generate_structured,)
