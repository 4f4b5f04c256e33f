"""Reading XML."""

from typing import Any

from treadle.blocks.xml_reader import read_in_worker
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

MAX_CHARACTERS = 5_000_000
_INLINE_CHARACTERS = 10_000
"""Longer texts are read in a process that can be killed, so that they do not hold up other runs."""


class XmlText(Inputs):
    """Pins of the XML parser."""

    input_xml: str = pin("The XML text.")


class XmlValue(Outputs):
    """The XML as an object."""

    parsed_xml: dict[str, Any] = pin("The elements by name: an object with one key, when there is one root element.")


@block(
    id="286380af-9529-4b55-8be0-1d7c854abdb5",
    name="XMLParserBlock",
    title="XML Parser",
    outputs=XmlValue,
    work=Work.PURE,
    categories=("DATA", "TEXT"),
    examples=(
        Example(
            {"input_xml": "<list><item>1</item><item>2</item></list>"},
            [("parsed_xml", {"list": [{"item": "1"}, {"item": "2"}]})],
            title="Elements with the same name become a list",
        ),
        Example(
            {"input_xml": "<person><name>Ada</name><age>36</age></person>"},
            [("parsed_xml", {"person": {"name": "Ada", "age": "36"}})],
            title="Elements with different names become an object",
        ),
        Example(
            {"input_xml": '<book lang="en"><title>Emma</title></book>'},
            [("parsed_xml", {"book": {"@lang": "en", "title": "Emma"}})],
            title="Attributes are marked with @",
        ),
        Example(
            {"input_xml": "<summary>Two.</summary>\n<names>a, b</names>"},
            [("parsed_xml", {"summary": "Two.", "names": "a, b"})],
            title="Elements one after the other",
        ),
    ),
)
async def parse_xml(inputs: XmlText, ctx: Context) -> Stream:
    """Turn XML text into an object.

    Names are in lower case. An element with elements inside is an object of them, or a list of objects when two have
    the same name; else it is its text. Attributes are marked with ``@``; text beside elements is under ``#text``;
    entities such as ``&amp;`` stay as they are written. Elements may stand one after the other if their names differ.
    Document types are refused.
    """
    if len(inputs.input_xml) > MAX_CHARACTERS:
        raise BlockError(f"The XML is longer than {MAX_CHARACTERS:,} characters.", fix="Split it into smaller parts.")
    if len(inputs.input_xml) <= _INLINE_CHARACTERS:
        answer = read_in_worker(inputs.input_xml)
    else:
        function = "treadle.blocks.xml_reader:read_in_worker"
        answer = await ctx.compute.call(function, inputs.input_xml, seconds=20.0, megabytes=512)
    if "fault" in answer:
        raise BlockError(f"The XML cannot be read: {answer['fault']}.", fix="Correct the text on the pin input_xml.")
    yield "parsed_xml", answer["value"]


BLOCKS = (parse_xml,)
