"""Rows out of tables: CSV text and spreadsheet files. Runs in the server for small texts, else in a worker process."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

MAX_CELLS = 5_000_000


class TableFault(Exception):
    """The table cannot be read; the message says what is wrong, for people."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a table is read; the fields are the pins of the block."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str = "\\"
    has_header: bool = True
    skip_rows: int = 0
    strip: bool = True
    skip_columns: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The form that goes to a worker process."""
        return asdict(self)


def rows_of_text(text: str, options: TableOptions) -> list[dict[str, str]]:
    """The rows of CSV text, each an object by column.

    Raises:
        TableFault: the options or the text cannot be used.
    """
    try:
        reader = csv.reader(
            io.StringIO(text.removeprefix("\ufeff")),
            delimiter=options.delimiter,
            quotechar=options.quotechar,
            escapechar=options.escapechar,
        )
        return _objects(reader, options)
    except (csv.Error, TypeError, ValueError) as error:
        raise TableFault(str(error)) from error


def rows_of_workbook(path: str, options: TableOptions) -> list[dict[str, str]]:
    """The rows of the first sheet of a spreadsheet file (xlsx, xlsm, xlsb, xls, ods), each an object by column.

    Raises:
        TableFault: it is no spreadsheet, is protected, or is too large.
    """
    from python_calamine import CalamineError, load_workbook  # noqa: PLC0415

    try:
        with load_workbook(path) as book:
            if not book.sheet_names:
                raise TableFault("the spreadsheet has no sheets")
            sheet = book.get_sheet_by_index(0)
            if sheet.total_height * sheet.total_width > MAX_CELLS:
                raise TableFault(f"the sheet has more than {MAX_CELLS:,} cells")
            cells = ([_cell_text(cell) for cell in row] for row in sheet.iter_rows())
            return _objects(cells, options)
    except (CalamineError, OSError, ValueError) as error:
        raise TableFault(f"it is not a spreadsheet that can be read ({error})") from error


def read_in_worker(kind: str, source: str, options: dict[str, Any]) -> dict[str, Any]:
    """The entry for worker processes; ``kind`` is text or workbook. Answers ``{"rows": ...}`` or ``{"fault": ...}``."""
    read = rows_of_workbook if kind == "workbook" else rows_of_text
    try:
        return {"rows": read(source, TableOptions(**options))}
    except TableFault as fault:
        return {"fault": str(fault)}


def _objects(lines: Iterator[list[str]], options: TableOptions) -> list[dict[str, str]]:
    header = _trimmed(next(lines, []), options) if options.has_header else []
    for skipped in range(options.skip_rows):
        if next(lines, None) is None:
            raise TableFault(f"skip_rows is {options.skip_rows}, but the table has only {skipped} rows")
    rows, cells = [], 0
    for number, line in enumerate(lines, options.skip_rows + 1):
        cells += len(line)
        if cells > MAX_CELLS:
            raise TableFault(f"the table has more than {MAX_CELLS:,} cells")
        if header and len(line) > len(header):
            raise TableFault(f"row {number} has {len(line)} cells, but the header has only {len(header)}")
        rows.append(_object(header, _trimmed(line, options), options))
    return rows


def _trimmed(line: list[str], options: TableOptions) -> list[str]:
    return [cell.strip() for cell in line] if options.strip else line


def _object(header: list[str], line: list[str], options: TableOptions) -> dict[str, str]:
    names = header or [str(position) for position in range(len(line))]
    skipped = {_position(column, names) for column in options.skip_columns}
    return {
        name: cell for position, (name, cell) in enumerate(zip(names, line, strict=False)) if position not in skipped
    }


def _position(column: str, names: list[str]) -> int:
    """Where the column is: by its name, else by its number from 0; -1 when there is no such column."""
    if column in names:
        return names.index(column)
    return int(column) if re.fullmatch("[0-9]{1,6}", column) else -1


def _cell_text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell)
