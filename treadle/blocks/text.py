"""Blocks that count, join, split, replace and fill in texts."""

from typing import Any

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.templates import render

TEXT_CAP = 20_000_000
"""Longest text, in characters, that a block makes of its inputs."""


def check_length(length: int) -> None:
    """Refuse to make a text longer than ``TEXT_CAP``; called before it is made.

    Raises:
        BlockError: it would be too long.
    """
    if length > TEXT_CAP:
        raise BlockError(
            f"The text would be {length:,} characters long; {TEXT_CAP:,} are allowed.", fix="Work in smaller parts."
        )


class CountInput(Inputs):
    text: str = pin("The text to count in.")


class CountOutput(Outputs):
    word_count: int = pin("How many words there are: what stands between blanks.")
    character_count: int = pin("How many characters there are, blanks included.")


@block(
    id="ab2a782d-22cf-4587-8a70-55b59b3f9f90",
    name="WordCharacterCountBlock",
    outputs=CountOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(Example({"text": "Hello, how are you?"}, [("word_count", 4), ("character_count", 19)]),),
)
async def count_words(inputs: CountInput, ctx: Context) -> Stream:
    """Count the words and the characters of a text."""
    yield "word_count", len(inputs.text.split())
    yield "character_count", len(inputs.text)


class CombineInput(Inputs):
    input: list[str] = pin("The texts to join, in order.")
    delimiter: str = pin("What to put between them.", default="")


class CombineOutput(Outputs):
    output: str = pin("The joined text.")


@block(
    id="e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85",
    name="CombineTextsBlock",
    outputs=CombineOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"input": ["a", "b"], "delimiter": ", "}, [("output", "a, b")]),
        Example({"input": ["a", "b"]}, [("output", "ab")]),
    ),
)
async def combine_texts(inputs: CombineInput, ctx: Context) -> Stream:
    """Join several texts into one."""
    check_length(sum(map(len, inputs.input)) + len(inputs.delimiter) * len(inputs.input))
    yield "output", inputs.delimiter.join(inputs.input)


class SplitInput(Inputs):
    text: str = pin("The text to split.")
    delimiter: str = pin("Where to split it; this part is left out.")
    strip: bool = pin("Remove blanks around each part.", default=True)


class SplitOutput(Outputs):
    texts: list[str] = pin("The parts, in order; none for an empty text.")


@block(
    id="d5ea33c8-a575-477a-b42f-2fe3be5055ec",
    name="TextSplitBlock",
    outputs=SplitOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"text": "a, b", "delimiter": ","}, [("texts", ["a", "b"])]),
        Example({"text": "a, b", "delimiter": ",", "strip": False}, [("texts", ["a", " b"])]),
    ),
)
async def split_text(inputs: SplitInput, ctx: Context) -> Stream:
    """Split a text into parts."""
    if not inputs.text:
        yield "texts", []
        return
    if not inputs.delimiter:
        raise BlockError("The delimiter is empty.", fix="Say where the text is to be split, for example at a comma.")
    parts = inputs.text.split(inputs.delimiter)
    yield "texts", [part.strip() for part in parts] if inputs.strip else parts


class ReplaceInput(Inputs):
    text: str = pin("The text to change.")
    old: str = pin("What to replace, letter by letter.")
    new: str = pin("What to put in its place.")


class ReplaceOutput(Outputs):
    output: str = pin("The changed text.")


@block(
    id="7e7c87ab-3469-4bcc-9abe-67705091b713",
    name="TextReplaceBlock",
    outputs=ReplaceOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(Example({"text": "good day", "old": "day", "new": "night"}, [("output", "good night")]),),
)
async def replace_text(inputs: ReplaceInput, ctx: Context) -> Stream:
    """Replace every occurrence of one text in another."""
    growth = len(inputs.new) - len(inputs.old)
    check_length(len(inputs.text) + max(0, growth) * inputs.text.count(inputs.old))
    yield "output", inputs.text.replace(inputs.old, inputs.new)


class TemplateInput(Inputs):
    values: dict[str, Any] = pin("The values that the template may use, by name.")
    format: str = pin("The template, in Jinja's notation: {{ name }} stands for a value.")
    escape_html: bool = pin("Make the values safe to put into a web page.", default=False)


class TemplateOutput(Outputs):
    output: str = pin("The text with the values filled in.")


@block(
    id="db7d8f02-2f44-4c55-ab7a-eae0941f0c30",
    name="FillTextTemplateBlock",
    outputs=TemplateOutput,
    categories=("TEXT",),
    work=Work.PURE,
    examples=(
        Example({"values": {"name": "Ana"}, "format": "Hello {{ name }}!"}, [("output", "Hello Ana!")]),
        Example(
            {"values": {"names": ["Ana", "Bo"]}, "format": "{% for n in names %}{{ n }};{% endfor %}"},
            [("output", "Ana;Bo;")],
            title="A loop",
        ),
        Example(
            {"values": {"price": 3.14159}, "format": "{{ price|format('%.2f') }}"},
            [("output", "3.14")],
            title="A formatted number",
        ),
    ),
)
async def fill_text_template(inputs: TemplateInput, ctx: Context) -> Stream:
    """Fill values into a text."""
    yield "output", await render(inputs.format, inputs.values, ctx.compute, escape_html=inputs.escape_html)


BLOCKS = (count_words, combine_texts, split_text, replace_text, fill_text_template)
