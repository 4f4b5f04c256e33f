"""Blocks that answer in plain text."""

from typing import Any

from treadle.blocks.ai.conversation import from_items, to_items
from treadle.blocks.ai.examples import MODEL, said
from treadle.blocks.ai.pins import account_pin, host_pin, max_tokens_pin, model_pin, retry_pin, tries
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import InputRefused
from treadle.sdk.models.messages import Message, ModelRequest
from treadle.sdk.models.service import complete
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.templates import render


class TextOutput(Outputs):
    response: str = pin("What the model answered.")
    prompt: list[Any] = pin("The messages that were sent to the model.")


class TextInput(Inputs):
    prompt: str = pin("What to ask. {{name}} stands for the value of that name.", placeholder="Write about {{topic}}")
    model: str = model_pin()
    credentials: CredentialsRef | None = account_pin()
    sys_prompt: str = pin("What the model should know and heed before it reads the prompt.", default="")
    retry: int = retry_pin()
    prompt_values: dict[str, str] = pin(
        "Values for the names in the prompts.", default_factory=dict[str, str], advanced=False
    )
    ollama_host: str = host_pin()
    max_tokens: int | None = max_tokens_pin()


@block(
    id="1f292d4a-41a4-4977-9684-7c8d560b9f91",
    name="AITextGeneratorBlock",
    outputs=TextOutput,
    categories=("AI",),
    work=Work.EFFECT,
    examples=(
        Example(
            {"model": MODEL, "prompt": "Name the capital of {{country}}.", "prompt_values": {"country": "France"}},
            [
                ("response", "Paris"),
                ("prompt", [{"role": "user", "content": "Name the capital of France."}]),
            ],
            context={"http": (said("Paris"),)},
        ),
    ),
)
async def generate_text(inputs: TextInput, ctx: Context) -> Stream:
    """Ask a language model once and give its answer as text."""
    messages = await opening(inputs.sys_prompt, inputs.prompt, inputs.prompt_values, ctx)
    request = ModelRequest(
        inputs.model, messages, max_tokens=inputs.max_tokens, host=inputs.ollama_host, attempts=tries(inputs.retry)
    )
    reply = await complete(request, ctx)
    yield "response", reply.text
    yield "prompt", to_items(messages)


class ConversationInput(Inputs):
    prompt: str = pin("What to say after the messages; may be empty.", default="", advanced=False)
    messages: list[Any] = pin("The conversation so far: objects with role and content.")
    model: str = model_pin(advanced=True)
    credentials: CredentialsRef | None = account_pin()
    max_tokens: int | None = max_tokens_pin()
    ollama_host: str = host_pin()


@block(
    id="32a87eab-381e-4dd4-bdb8-4c47151be35a",
    name="AIConversationBlock",
    outputs=TextOutput,
    categories=("AI",),
    work=Work.EFFECT,
    examples=(
        Example(
            {"model": MODEL, "messages": [{"role": "system", "content": "Be brief."}], "prompt": "What is 6 times 7?"},
            [
                ("response", "42"),
                (
                    "prompt",
                    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 6 times 7?"}],
                ),
            ],
            context={"http": (said("42"),)},
        ),
    ),
)
async def converse(inputs: ConversationInput, ctx: Context) -> Stream:
    """Let a language model answer a whole conversation."""
    messages = from_items(inputs.messages, "messages")
    if inputs.prompt:
        messages.append(Message("user", inputs.prompt))
    if not messages:
        raise InputRefused({"messages": "empty, and there is no prompt either"}, fix="Give a message or a prompt.")
    request = ModelRequest(inputs.model, messages, max_tokens=inputs.max_tokens, host=inputs.ollama_host)
    reply = await complete(request, ctx)
    yield "response", reply.text
    yield "prompt", to_items(messages)


async def opening(sys_prompt: str, prompt: str, values: dict[str, str], ctx: Context) -> list[Message]:
    """The system's and the person's message, with the values put in. Without values the texts are taken as they are."""
    if values:
        sys_prompt = await render(sys_prompt, values, ctx.compute)
        prompt = await render(prompt, values, ctx.compute)
    system = [Message("system", sys_prompt)] if sys_prompt else []
    return [*system, Message("user", prompt)]


BLOCKS = (generate_text, converse)
