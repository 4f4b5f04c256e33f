"""Blocks that store and read files of the run."""

from collections.abc import Iterator

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


class FileToStore(Inputs):
    """Pins of the file store."""

    file_in: str = pin("The file: a web address, a data URI, or a file of this run.", format="file")
    base_64: bool = pin("Send the content as a data URI instead of the file's name.", default=False)


class StoredFile(Outputs):
    """The stored file."""

    file_out: str = pin("The file's name in this run, or its content as a data URI.", format="file")


@block(
    id="cbb50872-625b-42f0-8203-a2ae78242d8a",
    name="FileStoreBlock",
    outputs=StoredFile,
    work=Work.EFFECT,
    static_output=True,
    categories=("BASIC", "MULTIMEDIA"),
    examples=(
        Example({"file_in": "a.txt"}, [("file_out", "a.txt")], context={"files": {"a.txt": "hey"}}),
        Example(
            {"file_in": "data:text/plain;base64,aGV5", "base_64": True},
            [("file_out", "data:text/plain;base64,aGV5")],
            title="The content instead of the name",
        ),
    ),
)
async def store_file(inputs: FileToStore, ctx: Context) -> Stream:
    """Bring a file into the run from the web or from a data URI, so that later blocks can use it by name.

    The file is kept until the run ends. A file that is not what its name says gets the ending of what it is.
    """
    yield "file_out", await ctx.files.store(inputs.file_in, return_content=inputs.base_64)


class FileToRead(Inputs):
    """Pins of the file reader."""

    file_input: str = pin("The text file: a web address, a data URI, or a file of this run.", format="file")
    delimiter: str = pin("Where rows end; without it the whole file is one row.", default="")
    size_limit: int = pin("Most characters in one piece; 0 for no limit.", default=0)
    row_limit: int = pin("How many rows are read; 0 for all.", default=0)
    skip_size: int = pin("How many characters are left out at the start.", default=0)
    skip_rows: int = pin("How many rows are left out at the start.", default=0)


class FileText(Outputs):
    """The text of the file."""

    content: str = pin("The text, or one piece of it after the other.")


@block(
    id="3735a31f-7e18-4aca-9e90-08a7120674bc",
    name="FileReadBlock",
    outputs=FileText,
    work=Work.EFFECT,
    categories=("DATA", "TEXT"),
    examples=(
        Example({"file_input": "a.txt"}, [("content", "hey")], context={"files": {"a.txt": "hey"}}),
        Example(
            {"file_input": "a.txt", "size_limit": 2},
            [("content", "he"), ("content", "y")],
            title="In pieces",
            context={"files": {"a.txt": "hey"}},
        ),
        Example(
            {"file_input": "a.txt", "delimiter": ",", "skip_rows": 1, "row_limit": 2},
            [("content", "b,c")],
            title="Some of the rows",
            context={"files": {"a.txt": "a,b,c,d"}},
        ),
    ),
)
async def read_file(inputs: FileToRead, ctx: Context) -> Stream:
    """Read a text file, whole or in pieces. Text that is not UTF-8 is read as Latin-1."""
    name = await ctx.files.store(inputs.file_input)
    text = _decoded(await ctx.files.read(name))[max(inputs.skip_size, 0) :]
    rows = text.split(inputs.delimiter) if inputs.delimiter else [text]
    rows = rows[max(inputs.skip_rows, 0) :]
    if inputs.row_limit > 0:
        rows = rows[: inputs.row_limit]
    if not rows:
        yield "content", ""  # agents expect an answer when every row is left out
    for piece in _pieces(inputs.delimiter.join(rows), inputs.size_limit):
        yield "content", piece


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _pieces(text: str, size_limit: int) -> Iterator[str]:
    """The text cut to size, or whole without a limit; an empty text has no pieces."""
    size = size_limit if size_limit > 0 else max(len(text), 1)
    return (text[start : start + size] for start in range(0, len(text), size))


BLOCKS = (store_file, read_file)
