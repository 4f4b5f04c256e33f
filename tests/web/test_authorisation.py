"""Who may do what: every route of the OpenAPI description, tried as everybody (cases A1, A4, A5, A6, A7, A9).

The routes are read from the description, so a new one cannot be forgotten. What each asks for is its ``x-permission``;
who has that is the table in ``treadle/features/accounts/access.py``, written down here once more, by hand.
"""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis.errors import NonInteractiveExampleWarning
from schemathesis.core.result import Ok

from tests.main.installs import GREETING
from tests.web.conftest import Client, MakeSomeone
from treadle.base.ids import LOCAL_WORKSPACE, UserId
from treadle.features.accounts.access import Role, Scope
from treadle.web.app import make_routes

MAY = {
    "read": {Role.VIEWER, Role.RUNNER, Role.EDITOR, Role.OWNER},
    "run": {Role.RUNNER, Role.EDITOR, Role.OWNER},
    "edit": {Role.EDITOR, Role.OWNER},
    "manage": {Role.OWNER},
    "self": {Role.VIEWER, Role.RUNNER, Role.EDITOR, Role.OWNER},
    "admin": set(),
}
"""What the documentation promises."""
SERVER_OWNED = ("id", "user_id", "owner", "workspace_id", "is_admin", "credits", "created_at", "is_public")
_SCHEMA = schemathesis.openapi.from_dict(make_routes("test").openapi())


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the description."""

    method: str
    path: str
    permission: str
    scope: str
    body: Any
    """One that has the right form; None where there is none."""
    form: bool
    """Whether it takes a form instead of JSON."""
    open_body: bool
    """Whether the body is a file of whatever form, which no server-owned column is taken from."""
    properties: frozenset[str]
    query: Mapping[str, str]

    def url(self, ids: Mapping[str, str]) -> str:
        """The address with these ids, or with ids of nothing."""
        known = {name: ids.get(name, "1" if name in ("firing", "version") else str(uuid4())) for name in self.names}
        return self.path.format(**known)

    @property
    def names(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    async def call(self, http: httpx.AsyncClient, ids: Mapping[str, str] | None = None, **options: Any) -> int:
        """The status of a request as ``http``, about what has these ids."""
        if self.form:
            options["files"] = {"file": ("a.txt", b"text")}
        elif self.body is not None and "content" not in options:
            options["json"] = self.body
        answer = await http.request(self.method, self.url(ids or {}), params=dict(self.query), **options)
        assert answer.status_code < 500, (self.method, self.path, answer.text)
        return answer.status_code

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _routes() -> Iterable[Route]:
    document = _SCHEMA.raw_schema
    for each in _SCHEMA.get_all_operations():
        assert isinstance(each, Ok)
        operation = each.ok()
        told = document["paths"][operation.path][operation.method.lower()]
        if "x-permission" not in told:
            continue
        content = told.get("requestBody", {}).get("content", {})
        schema = _resolved(document, content.get("application/json", {}).get("schema", {}))
        required = [one for one in told.get("parameters", ()) if one["in"] == "query" and one.get("required")]
        yield Route(
            operation.method.upper(),
            operation.path,
            told["x-permission"],
            told.get("x-scope", ""),
            _body(operation) if "application/json" in content else None,
            "multipart/form-data" in content,
            bool(schema) and schema.get("additionalProperties") is not False,
            frozenset(schema.get("properties", ())),
            {one["name"]: "1" if one["schema"].get("type") == "integer" else "x" for one in required},
        )


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema itself, where another is only named; of several the first that is an object."""
    if "$ref" in schema:
        return _resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return next((found for one in schema["anyOf"] if (found := _resolved(document, one))), {})
    return schema if schema.get("type") == "object" else {}


def _body(operation: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonInteractiveExampleWarning)
        body = operation.as_strategy().example().body
    return body if isinstance(body, dict | list) else {}


ROUTES = list(_routes())
INTERNAL = [each for each in ROUTES if not each.scope]
EXTERNAL = [each for each in ROUTES if each.scope]


@pytest.fixture
async def owned(client: Client) -> dict[str, str]:
    """Ids of what the owner of the local workspace has, by the names that paths have for them."""
    graph = (await client.post("/api/v2/builder/graphs", GREETING, status=201))["id"]
    execute = f"/api/v2/builder/graphs/{graph}/execute?wait=30"
    run = (await client.post(execute, {"input_data": {"who": "Ann"}}))["id"]
    file = (await client.http.post("/api/v2/files/upload", files={"file": ("a.txt", b"text")})).json()["id"]
    key = {"type": "api_key", "title": "mine", "secret": "canary"}
    credentials = (await client.post("/api/v2/integrations/github/credentials", key, status=201))["id"]
    agent = (await client.get(f"/api/v2/library/agents/by-graph/{graph}"))["id"]
    folder = (await client.post("/api/v2/library/folders", {"name": str(uuid4())}, status=201))["id"]
    preset = (await client.post("/api/v2/library/presets", {"execution_id": run, "name": "p"}, status=201))["id"]
    api_key = (await client.post("/api/v2/api-keys", {"name": "k", "scopes": ["IDENTITY"]}, status=201))["id"]
    invite = f"/api/v2/workspaces/{LOCAL_WORKSPACE}/invitations"
    wanted = {"email": f"{uuid4().hex}@people.test", "role": "viewer"}
    invitation = (await client.post(invite, wanted, status=201))["id"]
    return {
        "invitation_id": invitation,
        "graph_id": graph,
        "execution_id": run,
        "file_id": file,
        "credentials_id": credentials,
        "agent_id": agent,
        "folder_id": folder,
        "preset_id": preset,
        "key_id": api_key,
        "provider": "github",
        "firing": "1",
        "version": "1",
    }


def test_every_route_says_what_it_asks_for() -> None:
    assert len(ROUTES) > 40
    assert {each.permission for each in ROUTES} <= set(MAY)
    assert {each.scope for each in EXTERNAL} <= {str(each) for each in Scope}
    assert all(each.path.startswith("/external-api/") == bool(each.scope) for each in ROUTES)


async def test_a4_nobody_and_those_whose_token_is_no_good_do_nothing(
    client: Client, someone: MakeSomeone, owned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await someone(Role.OWNER)
    key = await client.post("/api/v2/api-keys", {"name": "all", "scopes": [str(each) for each in Scope]}, status=201)
    bad = {"nobody": "", "no token": "Bearer ey.x.y", "a key": f"Bearer {key['secret']}"}
    for route in INTERNAL:
        for who, given in bad.items():
            status = await route.call(client.http, owned, headers={"Authorization": given})
            assert status == 401, (str(route), who)
    expired = ann.signed_in.access_token
    clock = client.site.accounts._clock
    later = clock.now() + timedelta(hours=2)
    monkeypatch.setattr(type(clock), "now", lambda _: later)
    for route in ROUTES:
        assert await route.call(ann.client.http, owned, headers={"Authorization": f"Bearer {expired}"}) == 401, route


@pytest.mark.parametrize("role", list(Role))
async def test_a7_each_part_may_do_what_the_table_says(
    client: Client, someone: MakeSomeone, owned: dict[str, str], role: Role
) -> None:
    member = await someone(role)
    for route in INTERNAL:
        if role in MAY[route.permission]:
            # About things that are not there, so that nothing is destroyed: that they are asked for is enough.
            status = await route.call(member.client.http)
            assert status not in (401, 403), (str(route), role, status)
        else:
            ids = {**owned, "workspace_id": str(LOCAL_WORKSPACE), "user_id": str(member.id)}
            assert await route.call(member.client.http, ids) == 403, (str(route), role)


async def test_a4_a_stranger_does_nothing_in_a_workspace_that_they_name(
    client: Client, someone: MakeSomeone, owned: dict[str, str]
) -> None:
    stranger = await someone()
    for route in ROUTES:
        if "workspace_id" not in route.names:
            status = await route.call(stranger.client.http, owned, headers={"X-Workspace-Id": str(LOCAL_WORKSPACE)})
            assert status == 404, str(route)


async def test_a1_what_is_anothers_is_not_there(client: Client, someone: MakeSomeone, owned: dict[str, str]) -> None:
    stranger = await someone()
    ids = {**owned, "workspace_id": str(LOCAL_WORKSPACE)}
    for route in INTERNAL:
        if not set(route.names) & set(ids) - {"provider", "firing", "version"} or route.permission == "admin":
            continue
        status = await route.call(stranger.client.http, ids)
        # A body that says nothing sensible may be told so first; it is the same for what is nobody's.
        same = await route.call(stranger.client.http)
        assert status in (404, 422), (str(route), status)
        assert status == same, (str(route), status, same)


async def test_administration_is_for_administrators(client: Client, someone: MakeSomeone) -> None:
    owner, admin = await someone(Role.OWNER), await someone(Role.VIEWER, admin=True)
    for route in INTERNAL:
        if route.permission == "admin":
            assert await route.call(owner.client.http) == 403, str(route)
            assert await route.call(admin.client.http) not in (401, 403), str(route)


async def test_a9_a_key_does_what_its_scope_and_its_persons_part_allow(client: Client, someone: MakeSomeone) -> None:
    viewer = await someone(Role.VIEWER)
    for route in EXTERNAL:
        others = [str(each) for each in Scope if each != route.scope]
        for maker, scopes, allowed in (
            (client, [route.scope], True),
            (client, others, False),
            (viewer.client, [route.scope], Role.VIEWER in MAY[route.permission]),
        ):
            made = await maker.post("/api/v2/api-keys", {"name": "k", "scopes": scopes}, status=201)
            status = await route.call(client.http, headers={"Authorization": "", "X-API-Key": made["secret"]})
            assert (status not in (401, 403)) == allowed, (str(route), scopes, status)
            await maker.http.delete(f"/api/v2/api-keys/{made['id']}")


async def test_a5_no_write_takes_what_only_the_server_decides(client: Client, owned: dict[str, str]) -> None:
    tried = 0
    for route in ROUTES:
        if not isinstance(route.body, dict) or route.open_body or route.permission == "admin":
            continue
        for field in SERVER_OWNED:
            if field not in route.properties:
                content = json.dumps({**route.body, field: str(uuid4())}).encode()
                headers = {"Content-Type": "application/json"}
                status = await route.call(client.http, content=content, headers=headers)
                # About things that are not there: a route that looks for them first says so.
                assert status in (422, 404), (str(route), field, status)
                tried += 1
    assert tried > 50


async def test_a_member_who_was_removed_is_a_stranger(client: Client, someone: MakeSomeone) -> None:
    bob = await someone(Role.EDITOR)
    assert (await bob.client.http.get("/api/v2/executions")).status_code == 200
    removed: UserId = bob.id
    answer = await client.http.delete(f"/api/v2/workspaces/{LOCAL_WORKSPACE}/members/{removed}")
    assert answer.status_code in (200, 204)
    assert (await bob.client.http.get("/api/v2/executions")).status_code == 404
