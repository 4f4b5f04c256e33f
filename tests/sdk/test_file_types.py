"""What files are is told from their content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.sdk.file_types import mime_of, sniff, suffix_of, true_name


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"GIF89a", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "wav"),
        (b"\x00\x00\x00\x18ftypisom", "mp4"),
        (b"\x00\x00\x00\x18ftypheic", "heic"),
        (b"%PDF-1.7", "pdf"),
        (b"\xef\xbb\xbf \n<HTML>", "html"),
    ],
)
def test_known_content(content: bytes, suffix: str) -> None:
    kind = sniff(content)
    assert kind is not None
    assert kind.suffixes[0] == suffix


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="<"), max_size=50))
def test_plain_text_keeps_its_name(text: str) -> None:
    if sniff(text.encode()) is None:
        assert true_name("a.csv", text.encode(), distrust=True) == "a.csv"


@given(st.binary(max_size=64), st.sampled_from(["a.png", "a", "a.txt", "a.tar.gz", ".x", "a.docx"]), st.booleans())
def test_naming_twice_changes_nothing(content: bytes, name: str, distrust: bool) -> None:
    once = true_name(name, content, distrust=distrust)
    assert true_name(once, content, distrust=distrust) == once


@pytest.mark.parametrize(
    ("mime", "suffix"),
    [
        ("text/plain; charset=utf-8", ".txt"),
        ("Application/JSON", ".json"),
        ("text/markdown", ".md"),
        ("x/unknown", ".bin"),
        ("", ".bin"),
    ],
)
def test_suffixes_of_media_types(mime: str, suffix: str) -> None:
    assert suffix_of(mime) == suffix


@pytest.mark.parametrize(
    ("name", "mime"),
    [("a.txt", "text/plain"), ("a.png", "image/png"), ("a.webp", "image/webp"), ("a", "application/octet-stream")],
)
def test_media_types_of_names(name: str, mime: str) -> None:
    assert mime_of(name) == mime
