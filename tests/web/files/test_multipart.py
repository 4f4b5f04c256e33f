"""Forms are read piece by piece, wherever they are cut, and hostile ones are refused (cases F1, F11)."""

import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.errors import BadInput
from treadle.web.files.multipart import form_file
from treadle.web.request_bodies import Refused

TYPE = "multipart/form-data; boundary=XyZ"


def form(*parts: tuple[str, bytes], boundary: str = "XyZ") -> bytes:
    """A body with these (Content-Disposition, content) parts."""
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, size: int = 1000, content_type: str = TYPE) -> tuple[str, bytes]:
    file = await form_file(content_type, cut(body, size))
    return file.name, b"".join([piece async for piece in file.content])


@given(st.binary(max_size=300), st.integers(1, 50))
async def test_content_is_the_same_however_the_body_is_cut(content: bytes, size: int) -> None:
    body = form(('name="note"', b"beside"), ('name="file"; filename="a.bin"', content), ('name="more"', b"x"))
    assert await read(body, size) == ("a.bin", content)


async def test_content_that_looks_like_the_boundary() -> None:
    content = b"--XyZ\r\n--Xy\r\n--XyZx\r\r\n--"[5:]
    assert (await read(form(('name="file"; filename="a"', content)), 3))[1] == content


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('name="file"; filename="../../etc/passwd"', "../../etc/passwd"),
        ("name=\"file\"; filename*=UTF-8''%C3%BCber.txt", "über.txt"),
        ('name="file"; filename="über.txt"', "über.txt"),
        ('name="file"; filename=""', ""),
    ],
)
async def test_names_are_given_on_as_they_are(head: str, name: str) -> None:
    assert (await read(form((head, b"x"))))[0] == name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        form(('name="other"; filename="a"', b"x")),
        form(('name="file"', b"no file name")),
        form(('name="file"; filename="a"', b"x"), ('name="file"; filename="b"', b"y")),
        form(('name="file"; filename="a"', b"x"))[:-12],
        form(*[(f'name="f{number}"', b"") for number in range(100)]),
        form(('name="f"', b"x" * 2_000_000)),
        b"{}",
        b"--XyZ\r\n" + b"X-Header: 1\r\n" * 1000,
        b"--XyZ\r\nX: " + b"x" * 100_000,
    ],
)
async def test_f11_broken_and_hostile_forms_are_refused_at_once(body: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(BadInput):
        await read(body)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("application/json; x=multipart/form-data; boundary=XyZ", 415),
        ("multipart/form-data", 415),
        ("multipart/mixed; boundary=XyZ", 415),
        ("text/plain", 415),
        ("", 415),
        (f"multipart/form-data; boundary={'x' * 900}", 400),
        ("multipart/form-data; " + "a=" * 100_000, 415),
    ],
)
async def test_f1_only_a_form_is_taken_for_one(content_type: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        await read(form(('name="file"; filename="a"', b"x")), content_type=content_type)
    assert refused.value.status == status
