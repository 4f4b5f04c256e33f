"""Files over HTTP."""

import json
import resource
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tests.main.installs import OUTPUT, agent
from tests.web.conftest import TOKEN, Client

FILE_INPUT = "95ead23f-8283-4654-aef3-10c053b74a31"
FILE_READ = "3735a31f-7e18-4aca-9e90-08a7120674bc"


async def _upload(client: Client, name: str, content: bytes, **options: Any) -> Any:
    answer = await client.http.post("/api/v2/files/upload", files={"file": (name, content)}, **options)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_file_goes_up_is_found_and_comes_down(client: Client) -> None:
    made = await _upload(client, "a name.txt", b"0123456789")
    assert (made["name"], made["content_type"], made["size"]) == ("a name.txt", "text/plain", 10)
    assert await client.get(f"/api/v2/files/{made['id']}") == made
    assert made["id"] in [each["id"] for each in (await client.get("/api/v2/files?name=a%20na"))["files"]]
    answer = await client.http.get(f"/api/v2/files/{made['id']}/content")
    assert answer.content == b"0123456789"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20name.txt"
    assert answer.headers["content-length"] == "10"
    unchanged = await client.http.get(
        f"/api/v2/files/{made['id']}/content", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert unchanged.status_code == 304
    assert (await client.http.delete(f"/api/v2/files/{made['id']}")).status_code == 204
    for path in ("", "/content"):
        assert (await client.http.get(f"/api/v2/files/{made['id']}{path}")).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-100", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-0,1-1", 200, b"0123456789", None),
        ("bytes=" + "0-," * 100_000, 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=0-9", 200, b"0123456789", None),
    ],
)
async def test_f12_one_part_of_a_file(
    client: Client, asked: str, status: int, content: bytes, told: str | None
) -> None:
    made = await _upload(client, "n.txt", b"0123456789")
    answer = await client.http.get(f"/api/v2/files/{made['id']}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("content-range") == told


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", True),
        ("a.txt", b"text", True),
        ("a.html", b"<html><script>alert(1)</script>", False),
        ("a.png", b"<!doctype html><script>alert(1)</script>", False),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", False),
        ("a.xml", b"<?xml version='1.0'?><x/>", False),
        ("a.pdf", b"%PDF-1.7", False),
        ("a.js", b"alert(1)", False),
    ],
)
async def test_f13_only_harmless_types_are_shown(client: Client, name: str, content: bytes, shown: bool) -> None:
    made = await _upload(client, name, content)
    answer = await client.http.get(f"/api/v2/files/{made['id']}/content?inline=true")
    assert answer.headers["content-disposition"].startswith("inline" if shown else "attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_f1_json_is_never_taken_for_an_upload(client: Client) -> None:
    body = {"files": {"file": {"filepath": "/etc/passwd", "originalFilename": "x"}}}
    answer = await client.http.post("/api/v2/files/upload", json=body)
    assert answer.status_code == 415
    assert "passwd" not in json.dumps((await client.get("/api/v2/files"))["files"])


async def test_f10_nobody_uploads_without_a_token_and_no_place_is_told(client: Client, install: Path) -> None:
    anonymous = await client.http.post(
        "/api/v2/files/upload", files={"file": ("a", b"x")}, headers={"Authorization": ""}
    )
    assert anonymous.status_code == 401
    made = await _upload(client, "a.txt", b"x")
    assert str(install) not in json.dumps(made)


async def test_an_idempotency_key_brings_one_file(client: Client) -> None:
    headers = {"Idempotency-Key": "upload 1"}
    first = await _upload(client, "a.txt", b"x", headers=headers)
    assert await _upload(client, "a.txt", b"x", headers=headers) == first


async def test_a_run_reads_an_uploaded_file_and_no_other(client: Client) -> None:
    reader = agent(
        {
            "in": (FILE_INPUT, {"name": "paper"}),
            "read": (FILE_READ, {}),
            "out": (OUTPUT, {"name": "text"}),
        },
        [("in", "result", "read", "file_input"), ("read", "content", "out", "value")],
        name="reads a file",
    )
    made = await _upload(client, "a.txt", b"read by a run")
    report = await client.execute(reader, paper=made["uri"])
    assert report["outputs"] == [{"name": "text", "value": "read by a run"}]
    for other in (
        "treadle-file:01234567-89ab-7def-8123-456789abcdef",
        "treadle-file:../../etc/passwd",
        "file:///etc/passwd",
    ):
        assert (await client.execute(reader, paper=other))["status"] == "FAILED"


async def test_usage_is_told(client: Client) -> None:
    before = await client.get("/api/v2/files/usage")
    await _upload(client, "a.txt", b"12345")
    after = await client.get("/api/v2/files/usage")
    assert (after["files"] - before["files"], after["bytes"] - before["bytes"]) == (1, 5)


async def test_readiness_tells_of_each_dependency(client: Client) -> None:
    answer = await client.http.get("/health/ready", headers={"Authorization": ""})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "ready")
    assert set(body["dependencies"]) == {"database", "worker", "scanner"}
    assert body["dependencies"]["database"]["ok"]
    scanner = body["dependencies"]["scanner"]
    assert scanner["ok"] or "not scanned" in scanner["note"]


async def test_an_upload_that_breaks_off_is_no_failure_of_the_server_and_leaves_nothing(client: Client) -> None:
    before = await client.get("/api/v2/files/usage")
    begun = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + b"z" * 300_000
    coming: Iterator[MutableMapping[str, Any]] = iter(
        [{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}]
    )
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    names = {
        "host": "localhost",
        "content-type": "multipart/form-data; boundary=x",
        "content-length": "900000",
        "authorization": f"Bearer {TOKEN}",
    }
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/api/v2/files/upload",
        "raw_path": b"/api/v2/files/upload",
    }
    scope |= {"query_string": b"", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1), "server": None}
    await client.app(scope | {"http_version": "1.1", "root_path": ""}, receive, send)
    assert told[0]["status"] == 400
    assert await client.get("/api/v2/files/usage") == before


async def test_a_file_for_which_the_disk_has_no_room_is_refused_in_words_and_leaves_nothing(client: Client) -> None:
    before = await client.get("/api/v2/files/usage")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        answer = await client.http.post("/api/v2/files/upload", files={"file": ("a.bin", b"z" * 2_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = answer.json()["error"]
    assert (answer.status_code, told["code"]) == (503, "UNAVAILABLE")
    assert told["message"] == "The file cannot be stored: File too large."
    assert "Tell whoever runs this server" in told["details"]["fix"]
    assert await client.get("/api/v2/files/usage") == before
