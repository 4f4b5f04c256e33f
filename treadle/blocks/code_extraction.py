"""Taking fenced code blocks out of what a model wrote."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin

# Names after the opening fence, by output pin; code goes out in this order.
_NAMES: dict[str, tuple[str, ...]] = {
    "html": ("html", "htm"),
    "css": ("css",),
    "javascript": ("javascript", "js"),
    "python": ("python", "py"),
    "sql": ("sql",),
    "java": ("java",),
    "cpp": ("cpp", "c++"),
    "csharp": ("csharp", "c#", "cs"),
    "json_code": ("json",),
    "bash": ("bash", "shell", "sh"),
    "php": ("php",),
    "ruby": ("ruby", "rb"),
    "yaml": ("yaml", "yml"),
    "markdown": ("markdown", "md"),
    "typescript": ("typescript", "ts"),
    "xml": ("xml",),
}
_KNOWN = frozenset(name for names in _NAMES.values() for name in names)
_FENCE = "```"
_EMPTY_LINES = re.compile(r"\A(?:[ \t\r\f\v]*\n)+")
_OPENING = re.compile(r"```([A-Za-z#+]+)[ \t]*\r?\n")
_CLOSING = re.compile(r"^[ \t]*(```)|(```)(?=[ \t]*\r?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FencedCode:
    """One code block: its language name as written, the code, and where it stands in the text, fences included."""

    name: str
    code: str
    start: int
    end: int


def fenced_code(text: str) -> Iterator[FencedCode]:
    """The code blocks with a known language name, in order, found in one pass over the text.

    A fence closes a block where it begins or ends a line; if there is none such, the next fence does. A fence with a
    known name closes a block that was left open, and opens the next.
    """
    place, tidy = 0, True
    while opening := _OPENING.search(text, place):
        place = opening.end()
        name = opening[1].lower()
        if name not in _KNOWN:
            continue
        closing = _CLOSING.search(text, place) if tidy else None
        tidy = closing is not None
        code_end = closing.start() if closing else text.find(_FENCE, place)
        if code_end >= 0:
            code, place = text[place:code_end], _after(closing) if closing else code_end + len(_FENCE)
            yield FencedCode(name, _trimmed(code), opening.start(), place)


def _after(closing: re.Match[str]) -> int:
    """Where to read on: behind the fence, or at it when it opens a block of its own."""
    fence = closing.end() - len(_FENCE)
    opening = _OPENING.match(closing.string, fence)
    return fence if opening and opening[1].lower() in _KNOWN else closing.end()


def _trimmed(code: str) -> str:
    """Without empty lines around it; the first line keeps its indentation."""
    return _EMPTY_LINES.sub("", code.rstrip(), count=1)


def _remaining(text: str, blocks: list[FencedCode]) -> str:
    parts, place = [], 0
    for each in blocks:
        parts.append(text[place : each.start])
        place = each.end
    lines = [line for line in "".join([*parts, text[place:]]).split("\n") if line.strip()]
    return "\n".join(lines).strip()


class ExtractionInput(Inputs):
    text: str = pin("Text with code between fences of three backticks and the name of the language.")


class ExtractionOutput(Outputs):
    html: str = pin("The HTML code.", title="HTML")
    css: str = pin("The CSS code.", title="CSS")
    javascript: str = pin("The JavaScript code.", title="JavaScript")
    python: str = pin("The Python code.")
    sql: str = pin("The SQL code.", title="SQL")
    java: str = pin("The Java code.")
    cpp: str = pin("The C++ code.", title="C++")
    csharp: str = pin("The C# code.", title="C#")
    json_code: str = pin("The JSON data.", title="JSON")
    bash: str = pin("The shell commands.")
    php: str = pin("The PHP code.", title="PHP")
    ruby: str = pin("The Ruby code.")
    yaml: str = pin("The YAML data.", title="YAML")
    markdown: str = pin("The Markdown text.")
    typescript: str = pin("The TypeScript code.", title="TypeScript")
    xml: str = pin("The XML data.", title="XML")
    remaining_text: str = pin("The text around the code.")


@block(
    id="d3a7d896-3b78-4f44-8b4b-48fbf4f0bcd8",
    name="CodeExtractionBlock",
    outputs=ExtractionOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(
        Example(
            {"text": "Here:\n```python\nprint(1)\n```\nDone."},
            [("python", "print(1)"), ("remaining_text", "Here:\nDone.")],
        ),
        Example({"text": "```js\na\n```\n```js\nb\n```"}, [("javascript", "a\n\nb")], title="Several blocks"),
    ),
)
async def extract_code(inputs: ExtractionInput, ctx: Context) -> Stream:
    """Take the code out of a text, sorted by language, and give the text around it."""
    blocks = list(fenced_code(inputs.text))
    for pin_name, names in _NAMES.items():
        code = [each.code for name in names for each in blocks if each.name == name and each.code]
        if code:
            yield pin_name, "\n\n".join(code)
    remaining = _remaining(inputs.text, blocks)
    if remaining:
        yield "remaining_text", remaining


BLOCKS = (extract_code,)
