"""Reading tables: CSV text, CSV files and spreadsheet files."""

from pathlib import PurePath
from typing import Any

from treadle.blocks.tables import TableOptions, read_in_worker
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.file_types import sniff
from treadle.sdk.pins import Inputs, Outputs, pin

_INLINE_CHARACTERS = 50_000
"""Longer texts are read in a process that can be killed, so that they do not hold up other runs."""
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})


class Table(Inputs):
    """Pins of the spreadsheet reader."""

    contents: str | None = pin("The table as CSV text.", default=None, advanced=False, placeholder="a,b\n1,2")
    file_input: str | None = pin(
        "A CSV or spreadsheet file (xlsx, xls, ods); wins over the text.", default=None, advanced=False, format="file"
    )
    delimiter: str = pin("What stands between cells; one character.", default=",")
    quotechar: str = pin("What stands around cells that hold the delimiter.", default='"')
    escapechar: str = pin("What stands before a character that is meant as it is.", default="\\")
    has_header: bool = pin("Whether the first row names the columns; else they are numbered from 0.", default=True)
    skip_rows: int = pin("How many rows after the header are left out.", default=0)
    strip: bool = pin("Remove the space around cells.", default=True)
    skip_columns: list[str] = pin("Columns to leave out, by name or by number from 0.", default_factory=list)
    produce_singular_result: bool = pin("Send the rows one by one instead of all at once.", default=False)


class TableRows(Outputs):
    """The rows, each an object by column."""

    row: dict[str, str] = pin("One row; sent once for each row when asked for.")
    rows: list[dict[str, str]] = pin("All rows.")


@block(
    id="acf7625e-d2cb-4941-bfeb-2819fc6fc015",
    name="ReadSpreadsheetBlock",
    outputs=TableRows,
    work=Work.EFFECT,
    categories=("DATA", "TEXT"),
    examples=(
        Example(
            {"contents": "name, age\nAda, 36\nAlan, 41"},
            [("rows", [{"name": "Ada", "age": "36"}, {"name": "Alan", "age": "41"}])],
        ),
        Example(
            {"contents": "name,age\nAda,36", "produce_singular_result": True, "skip_columns": ["age"]},
            [("row", {"name": "Ada"})],
            title="Row by row, without a column",
        ),
    ),
)
async def read_spreadsheet(inputs: Table, ctx: Context) -> Stream:
    """Read a table from CSV text or from a file (CSV, Excel, OpenDocument: the first sheet) as rows by column name."""
    options = TableOptions(
        delimiter=inputs.delimiter,
        quotechar=inputs.quotechar,
        escapechar=inputs.escapechar,
        has_header=inputs.has_header,
        skip_rows=inputs.skip_rows,
        strip=inputs.strip,
        skip_columns=tuple(inputs.skip_columns),
    )
    rows = await _rows(inputs, options, ctx)
    if not inputs.produce_singular_result:
        yield "rows", rows
        return
    for row in rows:
        yield "row", row


async def _rows(inputs: Table, options: TableOptions, ctx: Context) -> list[dict[str, str]]:
    if inputs.file_input:
        return await _rows_of_file(await ctx.files.store(inputs.file_input), options, ctx)
    if inputs.contents:
        return await _rows_of_text(inputs.contents, options, ctx)
    raise InputRefused({"contents": "there is no table"}, fix="Give CSV text on contents, or a file on file_input.")


async def _rows_of_file(name: str, options: TableOptions, ctx: Context) -> list[dict[str, str]]:
    content = await ctx.files.read(name)
    kind = sniff(content)
    if PurePath(name).suffix.lower() in _WORKBOOKS or (kind and not kind.text):
        return await _in_worker("workbook", ctx.files.path(name), options, ctx)
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        return await _rows_of_text(text, options, ctx)
    except UnicodeDecodeError as error:
        raise BlockError(
            f"The file {name!r} is not text in UTF-8: {error.reason} at byte {error.start}.",
            fix="Save the file as CSV in UTF-8, or give the spreadsheet itself.",
        ) from None


async def _rows_of_text(text: str, options: TableOptions, ctx: Context) -> list[dict[str, str]]:
    if len(text) > _INLINE_CHARACTERS:
        return await _in_worker("text", text, options, ctx)
    return _rows_or_raise(read_in_worker("text", text, options.as_json()))


async def _in_worker(kind: str, source: str, options: TableOptions, ctx: Context) -> list[dict[str, str]]:
    function = "treadle.blocks.tables:read_in_worker"
    return _rows_or_raise(
        await ctx.compute.call(function, kind, source, options.as_json(), seconds=60.0, megabytes=1024)
    )


def _rows_or_raise(answer: dict[str, Any]) -> list[dict[str, str]]:
    if "fault" in answer:
        raise BlockError(
            f"The table cannot be read: {answer['fault']}.", fix="Correct the table or the block's settings."
        )
    rows: list[dict[str, str]] = answer["rows"]
    return rows


BLOCKS = (read_spreadsheet,)
