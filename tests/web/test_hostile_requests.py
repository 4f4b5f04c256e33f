"""Requests that attack whoever reads them (cases D8, F3, F6, F14, K5, K7, R17, R20, R23, T8)."""

import gzip
import json
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from tests.main.installs import GREETING, OUTPUT, agent
from tests.web.conftest import Client
from treadle.base.database import create_engine

NAME_INPUT = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
ECHO = agent(
    {"in": (NAME_INPUT, {"name": "value"}), "out": (OUTPUT, {"name": "value"})},
    [("in", "result", "out", "value")],
    name="echo",
)
INJECTIONS = [
    "' OR '1'='1",
    '"; DROP TABLE executions; --',
    "x') UNION SELECT current_user --",
    "%' AND pg_sleep(10) --",
    "{a,b}'::uuid[]",
    "$1",
    "a\\'b",
    "(select 1)",
]
LISTS = ["/api/v2/executions", "/api/v2/builder/graphs", "/api/v2/files", "/api/v2/api-keys", "/api/v2/workspaces"]


async def _tables(client: Client) -> Any:
    return (await client.http.get("/api/v2/executions?page_size=1")).status_code


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("text", INJECTIONS)
async def test_r17_no_filter_reaches_the_database_as_sql(client: Client, path: str, text: str) -> None:
    names = ("search", "search_term", "name", "sort", "sort_by", "status", "graph_id", "page", "before", "folder_id")
    for name in names:
        answer = await client.http.get(path, params={name: text})
        assert answer.status_code in (200, 404, 422), (name, answer.text)
    assert await _tables(client) == 200


@pytest.mark.parametrize("path", LISTS)
async def test_d8_no_page_is_larger_or_further_than_it_may(client: Client, path: str) -> None:
    for query in ("page_size=1000000000", "page=1000000000000", "page=-5&page_size=-5", "page_size=0"):
        answer = await client.http.get(f"{path}?{query}")
        assert answer.status_code == 200, (query, answer.text)
        told = answer.json()["pagination"]
        assert 1 <= told["page_size"] <= 100
        assert 1 <= told["page"] <= 1_000_000


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc%2fpasswd", "%252e%252e%252fetc", "....//....//etc/passwd", "..%5c..%5cx", "%2e%2e/token"],
)
async def test_f3_no_path_parameter_leads_out_of_its_folder(client: Client, name: str) -> None:
    for place in ("/api/v2/files/{}", "/api/v2/files/{}/content", "/api/v2/builder/graphs/{}", "/docs/{}"):
        answer = await client.http.get(place.format(name))
        assert answer.status_code in (404, 405, 422), (place, answer.text)
        assert "root:" not in answer.text


async def test_f6_a_packed_body_is_not_unpacked(client: Client) -> None:
    bomb = gzip.compress(b'{"input_data": {"x": "' + b"0" * 50_000_000 + b'"}}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await client.http.post("/api/v2/builder/graphs/g/execute", content=bomb, headers=headers)
    assert answer.status_code in (400, 415, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b'{"input_data": NaN}',
        b'{"input_data": {"x": Infinity}}',
        b'{"input_data": {"x": ' + b"9" * 10_000 + b"}}",
        b'{"input_data": {"x": 1e999}}',
        b'{"input_data": {"x": "\\ud800"}}',
        b'{"input_data": {}, "input_data": {"who": "x"}, "version": 1, "version": 99999999999999999999}',
        json.dumps({"input_data": {f"key{number}": 1 for number in range(100_000)}}).encode(),
    ],
)
async def test_f14_hostile_json_is_refused_in_words(client: Client, body: bytes) -> None:
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201))["id"]
    path = f"/api/v2/builder/graphs/{graph}/execute"
    answer = await client.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text[:500]
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'""', b'{"":[0]}'])
@pytest.mark.parametrize("path", ["/api/v2/builder/graphs", "/api/v2/library/folders"])
async def test_f14_millions_of_small_values_are_refused_before_they_are_made(
    client: Client, value: bytes, path: str
) -> None:
    body = b'{"nodes": [' + b",".join([value] * 1_000_001) + b"]}"
    answer = await client.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (413, "too_many_values")


async def test_f14_json_in_another_encoding_hides_nothing(client: Client) -> None:
    body = json.dumps({"name": "x", "a": [[]] * 300}).encode("utf-16")
    headers = {"Content-Type": "application/json"}
    answer = await client.http.post("/api/v2/library/folders", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["details"]["reason"]) == (400, "not_utf8")


@pytest.mark.parametrize(
    "value",
    [
        {"__proto__": {"admin": True}, "constructor": {"prototype": 1}, "__class__": "x", "__dict__": {}},
        {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"}},
        {"$blob": ["0" * 64, 10]},
        {"$ref": "#/x", "py/object": "os.system", "$type": "System.Diagnostics.Process"},
        "gASVGAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAJpZJSFlFKULg==",
    ],
)
async def test_r20_r23_data_with_magic_names_stays_data(client: Client, value: Any) -> None:
    report = await client.execute(ECHO, value=value)
    assert report["outputs"] == [{"name": "value", "value": value}]


async def test_r23_magic_names_of_nodes_and_fields_do_nothing(client: Client) -> None:
    document = json.loads(json.dumps(GREETING))
    document["__proto__"] = {"admin": True}
    for node in document["nodes"]:
        node["metadata"] = {"__class__": "x", "constructor": {"prototype": {"y": 1}}}
    answer = await client.http.post("/api/v2/builder/graphs", json=document)
    assert answer.status_code in (201, 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_t8_a_form_of_another_site_is_no_json(client: Client, kind: str) -> None:
    body = b'{"name": "stolen", "scopes": ["IDENTITY"]}'
    answer = await client.http.post("/api/v2/api-keys", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
async def test_k7_no_header_of_a_stranger_changes_an_address(client: Client, header: str) -> None:
    answer = await client.http.get("/api/v2/executions", headers={header: "evil.test"})
    plain = await client.http.get("/api/v2/executions")
    assert answer.status_code == plain.status_code == 200
    assert "evil.test" not in answer.text + str(answer.headers)


async def test_k5_failures_tell_no_path_and_no_sql(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError('relation "users" in /srv/treadle/secret.py: SELECT * FROM users')

    monkeypatch.setattr(type(client.site.files), "listed", broken)
    answer = await client.http.get("/api/v2/files")
    assert answer.status_code == 500
    told = answer.json()["error"]
    assert told["details"]["trace_id"]
    assert not {"users", "/srv", "SELECT", "Traceback"} & set(answer.text.replace('"', " ").split())


@pytest.mark.parametrize("layers", ["asyncpg", "sqlalchemy"])
@pytest.mark.parametrize(
    ("state", "status", "told"),
    [
        ("53100", 503, "The server's disk is full, or cannot be written to."),
        ("57P01", 503, "The database does not answer now."),
        ("53300", 503, "The database does not answer now."),
        ("42P01", 500, "The server failed on this request."),
    ],
)
async def test_an_outage_of_the_database_is_told_as_one(
    client: Client, monkeypatch: pytest.MonkeyPatch, layers: str, state: str, status: int, told: str
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{state}'; END $$"

    async def failing(*_: object, **__: object) -> None:
        if layers == "asyncpg":
            connection = await asyncpg.connect(client.urls.api)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()
        else:
            engine = create_engine(client.urls.api)
            try:
                async with engine.connect() as session:
                    await session.execute(text(statement))
            finally:
                await engine.dispose()

    monkeypatch.setattr(type(client.site.files), "listed", failing)
    answer = await client.http.get("/api/v2/files")
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, told)
    assert "secret" not in answer.text
