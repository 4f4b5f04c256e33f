"""Reading XML: shapes, refusals, and no way to make it slow or large."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.xml import MAX_CHARACTERS, parse_xml
from treadle.blocks.xml_reader import MAX_DEPTH, XmlFault, read
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a/>", {"a": ""}),
        ("<a x='1' y=\"2\"/>", {"a": {"@x": "1", "@y": "2"}}),
        ("<a x='1'>t</a>", {"a": {"@x": "1", "#text": "t"}}),
        ("<a>x<b>y</b>z</a>", {"a": {"b": "y", "#text": "xz"}}),
        ("<a>x<b>1</b><b>2</b></a>", {"a": [{"b": "1"}, {"b": "2"}, {"#text": "x"}]}),
        ("<a><![CDATA[<b> & </b>]]></a>", {"a": "<b> & </b>"}),
        ("\ufeff<?xml version='1.0'?><!-- c --><a>1</a>", {"a": "1"}),
        ("<A><Big Name>1</Big Name></A>", {"a": {"big_name": "1"}}),
        ("<a>\n  <b> x </b>\n</a>", {"a": {"b": "x"}}),
        ("<a><b>1</b><c><d>2</d><e/></c></a>", {"a": {"b": "1", "c": {"d": "2", "e": ""}}}),
        ("<a><b>1</b><c>2</c><B>3</B></a>", {"a": [{"b": "1"}, {"c": "2"}, {"b": "3"}]}),
        ("<a x='1'>t<b>1</b><c>2</c></a>", {"a": {"@x": "1", "b": "1", "c": "2", "#text": "t"}}),
        ("<a><b><c>1</c></b><b><d>2</d></b></a>", {"a": [{"b": {"c": "1"}}, {"b": {"d": "2"}}]}),
        ("<1>a</1>\n< b >2</ b >", {"1": "a", "b": "2"}),
        ('<a x="1>2">t</a>', {"a": {"@x": "1>2", "#text": "t"}}),
        ("<a>&amp;</a>", {"a": "&amp;"}),
        ("<a>1</a>\n<b><a>2</a></b>\n", {"a": "1", "b": {"a": "2"}}),
    ],
)
def test_shapes(text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/><a/>",
        "<a>1</a> and <b>2</b>",
        "<a>5 < 6</a>",
        "<a x=1>t</a>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY x "lol">]><a>&x;</a>',
        "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1),
        "<a>" + "<b/>" * 200_001 + "</a>",
        "<a" + " " * 300_000 + "b" * 10,
        "<a" + " x" * 100_000 + "='1'y>",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(XmlFault):
        read(text)


@given(st.text(alphabet="<>/a b='\"!-[]?&;CDAT", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert len(read(text)) == 1
    except XmlFault as fault:
        assert str(fault)


@given(st.recursive(st.text("xyz", min_size=1), lambda inner: st.lists(inner, min_size=2, max_size=4), max_leaves=20))
def test_what_was_written_is_read(tree: Any) -> None:
    def written(value: Any) -> str:
        return value if isinstance(value, str) else "".join(f"<n>{written(each)}</n>" for each in value)

    def shaped(value: Any) -> Any:
        return value if isinstance(value, str) else [{"n": shaped(each)} for each in value]

    assert read(f"<root>{written(tree)}</root>") == {"root": shaped(tree)}


async def test_long_texts_go_to_a_worker_and_too_long_ones_nowhere() -> None:
    text = f"<a>{'x' * 20_000}</a>"
    assert await run_block(parse_xml, {"input_xml": text}) == [("parsed_xml", {"a": "x" * 20_000})]
    with pytest.raises(BlockError, match="longer than"):
        await run_block(parse_xml, {"input_xml": "x" * (MAX_CHARACTERS + 1)})
