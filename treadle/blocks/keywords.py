"""Taking apart the keyword records that search-marketing services give."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from treadle.sdk.block import Emission, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


def _whole(value: Any) -> Any:
    """1000.0 is 1000: in JSON they are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number, however it is written."""


class Keyword(BaseModel):
    """What is known about one search keyword. Values are taken as they are: text is no number here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    keyword: str = Field(description="The words that people search for.")
    search_volume: Whole | None = Field(default=None, description="Searches per month.")
    competition: float | None = Field(default=None, description="How hard advertisers compete, from 0 to 1.")
    cpc: float | None = Field(default=None, description="Price of one click, in US dollars.")
    keyword_difficulty: Whole | None = Field(default=None, description="How hard it is to rank, from 0 to 100.")
    serp_info: dict[str, Any] | None = Field(default=None, description="What the results page looks like.")
    clickstream_data: dict[str, Any] | None = Field(default=None, description="Figures from observed clicks.")


class KeywordOutput(Outputs):
    keyword: str = pin("The words that people search for.")
    search_volume: int | None = pin("Searches per month.")
    competition: float | None = pin("How hard advertisers compete, from 0 to 1.")
    cpc: float | None = pin("Price of one click, in US dollars.", title="CPC")
    keyword_difficulty: int | None = pin("How hard it is to rank, from 0 to 100.")
    serp_info: dict[str, Any] | None = pin("What the results page looks like.", title="SERP Info")
    clickstream_data: dict[str, Any] | None = pin("Figures from observed clicks.")


def _parts(keyword: Keyword) -> Iterator[Emission]:
    return ((name, getattr(keyword, name)) for name in Keyword.model_fields)


_EXAMPLE = {"keyword": "loom", "search_volume": 1000, "competition": 0.5, "cpc": 2.5, "keyword_difficulty": 60}
_EXAMPLE_OUTPUTS = [*_EXAMPLE.items(), ("serp_info", None), ("clickstream_data", None)]


class SuggestionInput(Inputs):
    suggestion: Keyword = pin("A keyword suggestion.")


@block(
    id="4193cb94-677c-48b0-9eec-6ac72fffd0f2",
    name="KeywordSuggestionExtractorBlock",
    outputs=KeywordOutput,
    categories=("DATA",),
    work=Work.PURE,
    short=True,
    examples=(Example({"suggestion": _EXAMPLE}, _EXAMPLE_OUTPUTS),),
)
async def extract_keyword_suggestion(inputs: SuggestionInput, ctx: Context) -> Stream:
    """Send each figure of a keyword suggestion on a pin of its own."""
    for emission in _parts(inputs.suggestion):
        yield emission


class RelatedInput(Inputs):
    related_keyword: Keyword = pin("A related keyword.")


@block(
    id="98342061-09d2-4952-bf77-0761fc8cc9a8",
    name="RelatedKeywordExtractorBlock",
    outputs=KeywordOutput,
    categories=("DATA",),
    work=Work.PURE,
    short=True,
    examples=(Example({"related_keyword": _EXAMPLE}, _EXAMPLE_OUTPUTS),),
)
async def extract_related_keyword(inputs: RelatedInput, ctx: Context) -> Stream:
    """Send each figure of a related keyword on a pin of its own."""
    for emission in _parts(inputs.related_keyword):
        yield emission


BLOCKS = (extract_keyword_suggestion, extract_related_keyword)
