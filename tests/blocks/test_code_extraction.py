"""Taking code out of text."""

from typing import Any

import pytest

from treadle.blocks.code_extraction import extract_code, fenced_code
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("```PYTHON\nx=1\n```", [("python", "x=1")]),
        ("```python\nx=1```", [("python", "x=1")]),
        ("```css\r\na{}\r\n```\r\nend", [("css", "a{}"), ("remaining_text", "end")]),
        ("```python\n\n  \n    a\n  b\n\n```", [("python", "    a\n  b")]),
        ("```python\nprint('```')\n```", [("python", "print('```')")]),
        ("```py\na``` b", [("python", "a"), ("remaining_text", "b")]),
        ("```py\na```  \nb\n```js\nc\n```", [("javascript", "c"), ("python", "a"), ("remaining_text", "b")]),
        ("1. x\n   ```c++\n   int a;\n   ```", [("cpp", "   int a;"), ("remaining_text", "1. x")]),
        ("```c#\nvar x;\n```", [("csharp", "var x;")]),
        ("```rust\nfn\n```\n```py\na\n```", [("python", "a"), ("remaining_text", "```rust\nfn\n```")]),
        ("```json\n{}\n```py\na\n```", [("python", "a"), ("json_code", "{}")]),
        ("```md\n# T\n```py\na\n```\nb", [("python", "a"), ("markdown", "# T"), ("remaining_text", "b")]),
        ("```python\nopen", [("remaining_text", "```python\nopen")]),
        ("a\n\n\n  b\n", [("remaining_text", "a\n  b")]),
        ("  \n", []),
    ],
)
async def test_extracting(text: str, outputs: list[Any]) -> None:
    assert await run_block(extract_code, {"text": text}) == outputs


@pytest.mark.parametrize(
    "text",
    [
        "```python" + " " * 200_000,
        "```py\n" + "\n" * 200_000 + "```",
        "```a" * 50_000,
        "```py\n" * 30_000 + "x",
        "x```py\n" * 30_000,
    ],
)
def test_large_and_odd_texts_take_one_pass(text: str) -> None:
    assert all(each.end <= len(text) for each in fenced_code(text))
