"""Folders over HTTP."""

from typing import Any
from uuid import uuid4

from tests.web.conftest import Client

FOLDERS = "/api/v2/library/folders"


async def _made(client: Client, name: str, parent: str | None = None) -> str:
    made: str = (await client.post(FOLDERS, {"name": name, "parent_id": parent}, status=201))["id"]
    return made


async def test_folders_are_made_changed_moved_and_told_as_a_tree(client: Client) -> None:
    mark = str(uuid4())
    top = await _made(client, mark)
    inner = await _made(client, "inner", top)
    body = {"name": " Letters ", "color": "#a0b1c2", "icon": "envelope"}
    changed = (await client.http.patch(f"{FOLDERS}/{inner}", json=body)).json()
    assert (changed["name"], changed["color"], changed["icon"]) == ("Letters", "#a0b1c2", "envelope")
    assert {"id": inner, "parent_id": top}.items() <= (await client.get(f"{FOLDERS}/{inner}")).items()
    other = await _made(client, f"{mark} other")
    moved = await client.post(f"{FOLDERS}/{inner}/move", {"parent_id": other})
    assert moved["parent_id"] == other
    tree = {each["name"]: each for each in (await client.get(f"{FOLDERS}/tree"))["folders"]}
    assert tree[mark]["folders"] == []
    assert [each["id"] for each in tree[f"{mark} other"]["folders"]] == [inner]
    assert {top, inner, other} <= {each["id"] for each in (await client.get(FOLDERS))["folders"]}


async def test_what_does_not_go_is_told(client: Client) -> None:
    mark = str(uuid4())
    top = await _made(client, mark)
    inner = await _made(client, "inner", top)

    async def refused(path: str, body: Any, status: int = 409) -> str:
        reason: str = (await client.post(f"{FOLDERS}{path}", body, status=status))["error"]["details"]["reason"]
        return reason

    assert await refused("", {"name": mark.upper()}) == "folder_name_taken"
    assert await refused(f"/{top}/move", {"parent_id": inner}) == "folder_inside_itself"
    assert await refused(f"/{top}/move", {"parent_id": str(uuid4())}, 404) == "not_found"
    chain = inner
    for number in range(8):
        chain = await _made(client, str(number), chain)
    assert await refused("", {"name": "more", "parent_id": chain}) == "folders_too_deep"
    for body in ({"name": ""}, {"name": "x" * 101}, {"name": "x", "color": "red"}, {"name": "x", "id": mark}):
        await refused("", body, 422)


async def test_a_folder_is_deleted_as_is_said(client: Client) -> None:
    top = await _made(client, str(uuid4()))
    gone = await _made(client, "gone", top)
    kept = await _made(client, "kept", gone)
    assert (await client.http.delete(f"{FOLDERS}/{gone}")).status_code == 422, "it must be said"
    moved = await client.http.delete(f"{FOLDERS}/{gone}", params={"contents": "move"})
    assert moved.json() == {"folders": 1, "agents": 0}
    assert (await client.get(f"{FOLDERS}/{kept}"))["parent_id"] == top
    deleted = await client.http.delete(f"{FOLDERS}/{top}", params={"contents": "delete"})
    assert deleted.json() == {"folders": 1, "agents": 0}
    assert (await client.http.get(f"{FOLDERS}/{kept}")).status_code == 404


async def test_a_folder_is_made_once_for_a_key(client: Client) -> None:
    body = {"name": str(uuid4())}
    headers = {"Idempotency-Key": str(uuid4())}
    first = await client.post(FOLDERS, body, status=201, headers=headers)
    assert await client.post(FOLDERS, body, status=201, headers=headers) == first
