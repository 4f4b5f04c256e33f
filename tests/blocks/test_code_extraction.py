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
        ("```c#\nvar x;\n```", [("csharp", "var x;")]),
        ("```rust\nfn\n```\n```py\na\n```", [("python", "a"), ("remaining_text", "```rust\nfn\n```")]),
        ("```python\nopen", [("remaining_text", "```python\nopen")]),
        ("a\n\n\n  b\n", [("remaining_text", "a\n  b")]),
        ("  \n", []),
    ],
)
async def test_extracting(text: str, outputs: list[Any]) -> None:
    assert await run_block(extract_code, {"text": text}) == outputs


@pytest.mark.parametrize(
    "text", ["```python" + " " * 200_000, "```py\n" + "\n" * 200_000 + "```", "```a" * 50_000, "```py\n" * 30_000 + "x"]
)
def test_large_and_odd_texts_take_one_pass(text: str) -> None:
    assert all(each.end <= len(text) for each in fenced_code(text))
