"""Blocks that look for regular expressions in texts."""

import json
from typing import Any

from treadle.blocks.basic import is_given
from treadle.blocks.pattern_engine import Flags
from treadle.blocks.pattern_search import search
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin

MATCH_CAP = 1000
"""Most matches that one run gives."""


def _text_of(value: Any) -> str:
    """A text itself; any other value as JSON without blanks."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class MatchInput(Inputs):
    text: Any = pin("The text to look at; any other value is looked at as JSON.")
    match: str = pin("The regular expression that must occur somewhere in it.")
    data: Any = pin("What to send on. An empty text, list or object stands for the text itself.")
    case_sensitive: bool = pin("Tell capital letters from small ones.", default=True)
    dot_all: bool = pin("Let a dot stand for a line end too.", default=True)


class MatchOutput(Outputs):
    positive: Any = pin("The data, when the pattern occurs.")
    negative: Any = pin("The data, when it does not.")


@block(
    id="3060088f-6ed9-4928-9ba7-9c92823a7ccd",
    name="MatchTextPatternBlock",
    outputs=MatchOutput,
    categories=("TEXT",),
    work=Work.PURE,
    examples=(
        Example({"text": "order 66", "match": r"\d+", "data": "has a number"}, [("positive", "has a number")]),
        Example({"text": "no order", "match": r"\d+", "data": "no number"}, [("negative", "no number")]),
        Example(
            {"text": "ABC", "match": "ab", "data": 1, "case_sensitive": False}, [("positive", 1)], title="Any letters"
        ),
    ),
)
async def match_text_pattern(inputs: MatchInput, ctx: Context) -> Stream:
    """Send data one way if a pattern occurs in a text, and another way if not."""
    flags = Flags(inputs.case_sensitive, inputs.dot_all)
    found = await search(inputs.match, _text_of(inputs.text), flags, ctx.compute)
    data = inputs.data if is_given(inputs.data) else inputs.text
    yield ("positive" if found else "negative"), data


class ExtractInput(Inputs):
    text: Any = pin("The text to search; any other value is searched as JSON.")
    pattern: str = pin("The regular expression to look for.")
    group: int = pin("Which group of it to give; 0 is the whole match.", default=0)
    case_sensitive: bool = pin("Tell capital letters from small ones.", default=True)
    dot_all: bool = pin("Let a dot stand for a line end too.", default=True)
    find_all: bool = pin("Give all matches instead of the first.", default=False)


class ExtractOutput(Outputs):
    positive: str = pin("A match; one after the other, if there are several.")
    negative: str = pin("The text, when nothing matched.")
    matched_results: list[str] = pin("All matches.")
    matched_count: int = pin("How many matches there are.")


@block(
    id="3146e4fe-2cdd-4f29-bd12-0c9d5bb4deb0",
    name="ExtractTextInformationBlock",
    outputs=ExtractOutput,
    categories=("TEXT",),
    work=Work.PURE,
    examples=(
        Example(
            {"text": "Hello, World!", "pattern": "Hello, (.+)", "group": 1},
            [("positive", "World!"), ("matched_results", ["World!"]), ("matched_count", 1)],
        ),
        Example(
            {"text": "a1 b2", "pattern": r"[a-z]\d", "find_all": True},
            [("positive", "a1"), ("positive", "b2"), ("matched_results", ["a1", "b2"]), ("matched_count", 2)],
            title="All matches",
        ),
        Example(
            {"text": "abc", "pattern": r"\d"},
            [("negative", "abc"), ("matched_results", []), ("matched_count", 0)],
            title="Nothing found",
        ),
    ),
)
async def extract_text_information(inputs: ExtractInput, ctx: Context) -> Stream:
    """Find the parts of a text that match a pattern."""
    text, flags = _text_of(inputs.text), Flags(inputs.case_sensitive, inputs.dot_all)
    limit = MATCH_CAP if inputs.find_all else 1
    found = await search(inputs.pattern, text, flags, ctx.compute, group=inputs.group, limit=limit) or []
    for each in found:
        yield "positive", each
    if not found:
        yield "negative", text
    yield "matched_results", found
    yield "matched_count", len(found)


BLOCKS = (match_text_pattern, extract_text_information)
