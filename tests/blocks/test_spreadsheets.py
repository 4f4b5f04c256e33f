"""Tables out of text and out of files."""

import base64
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.spreadsheets import read_spreadsheet
from treadle.blocks.tables import TableFault, TableOptions, rows_of_text, rows_of_workbook
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import make_context, run_block

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(cells: str) -> bytes:
    """A small xlsx file whose first sheet has these rows."""
    sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>'
    sheets = '<sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets>'
    book = f'<workbook xmlns="{_MAIN}" xmlns:r="{_KIND}">{sheets}</workbook>'
    links, root = _link("worksheet", "worksheets/s.xml"), _link("officeDocument", "xl/workbook.xml")
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", root)
        archive.writestr("xl/workbook.xml", book)
        archive.writestr("xl/_rels/workbook.xml.rels", links)
        archive.writestr("xl/worksheets/s.xml", sheet)
    return content.getvalue()


def _link(kind: str, target: str) -> str:
    link = f'<Relationship Id="rId1" Type="{_KIND}/{kind}" Target="{target}"/>'
    return f'<Relationships xmlns="{_LINKS}">{link}</Relationships>'


PEOPLE = workbook(
    '<row r="1"><c r="A1" t="str"><v>name</v></c><c r="B1" t="str"><v> age </v></c></row>'
    '<row r="2"><c r="A2" t="str"><v>Ada</v></c><c r="B2"><v>36</v></c></row>'
    '<row r="3"><c r="A3" t="str"><v>Alan</v></c><c r="B3"><v>41.5</v></c></row>'
)


@pytest.mark.parametrize("name", ["p.xlsx", "p.csv", "p"])
async def test_workbooks_are_known_by_their_content(name: str) -> None:
    context = make_context(files={name: PEOPLE})
    outputs = await run_block(read_spreadsheet, {"file_input": name}, context)
    assert outputs == [("rows", [{"name": "Ada", "age": "36"}, {"name": "Alan", "age": "41.5"}])]


async def test_the_options_hold_for_workbooks_too() -> None:
    inputs = {"file_input": "p.xlsx", "has_header": False, "skip_rows": 1, "skip_columns": ["0"]}
    outputs = await run_block(read_spreadsheet, inputs, make_context(files={"p.xlsx": PEOPLE}))
    assert outputs == [("rows", [{"1": "36"}, {"1": "41.5"}])]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no workbook", PEOPLE[:300], b"\x00" * 100])
def test_broken_workbooks_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.xlsx").write_bytes(content)
    with pytest.raises(TableFault, match="not a spreadsheet"):
        rows_of_workbook(str(tmp_path / "b.xlsx"), TableOptions())


async def test_a_file_wins_over_text() -> None:
    data = "data:text/csv;base64," + base64.b64encode(b"x\n1").decode()
    outputs = await run_block(read_spreadsheet, {"file_input": data, "contents": "y\n2"})
    assert outputs == [("rows", [{"x": "1"}])]


@pytest.mark.parametrize("content", ["a,b\r1,2\r", "a,b\r\n1,2\r\n", "\ufeffa,b\n1,2"])
async def test_files_end_their_lines_in_any_way(content: str) -> None:
    outputs = await run_block(read_spreadsheet, {"file_input": "t.csv"}, make_context(files={"t.csv": content}))
    assert outputs == [("rows", [{"a": "1", "b": "2"}])]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "there is no table"),
        ({"contents": "a\n1,2"}, "row 1 has 2 cells"),
        ({"contents": "a\n1", "skip_rows": 2}, "has only 1 rows"),
        ({"contents": "a\n1", "delimiter": "ab"}, "delimiter"),
    ],
)
async def test_what_is_wrong_is_said(inputs: Mapping[str, Any], said: str) -> None:
    with pytest.raises(BlockError, match=said):
        await run_block(read_spreadsheet, inputs)


async def test_large_texts_go_to_a_worker() -> None:
    text = "a\n" + "1\n" * 30_000
    ((pin, rows),) = await run_block(read_spreadsheet, {"contents": text})
    assert (pin, len(rows)) == ("rows", 30_000)


@given(st.lists(st.lists(st.text('ab,"\\\n ', min_size=1), min_size=2, max_size=2), max_size=5))
def test_written_cells_are_read(rows: list[list[str]]) -> None:
    quoted = "\n".join(
        ",".join('"' + cell.replace("\\", "\\\\").replace('"', '""') + '"' for cell in row) for row in rows
    )
    options = TableOptions(has_header=False, strip=False)
    assert rows_of_text(quoted, options) == [{"0": one, "1": two} for one, two in rows]
