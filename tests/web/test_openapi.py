"""Every route of the OpenAPI description, tried with all that fits it and much that does not, on a running server.

No answer is a failure of the server, and each has the status, the type and the form that the description promises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.main.installs import GREETING
from tests.main.servers import Server, new_home, started
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR
from treadle.web.app import make_routes

_EXAMPLES = 15
"""For each route and each kind of data."""
_CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_SCHEMA = schemathesis.openapi.from_dict(make_routes("test").openapi())
_OPERATIONS = [each.ok() for each in _SCHEMA.get_all_operations() if isinstance(each, Ok)]
_TRIED = [
    pytest.param(each, mode, id=f"{each.label} {mode.value}")
    for each in _OPERATIONS
    for mode in GenerationMode
    # What takes nothing cannot be given anything wrong.
    if mode is GenerationMode.POSITIVE or [*each.iter_parameters(), *each.body]
]


@dataclass(frozen=True, slots=True)
class Filled:
    """A server of this file's own, with something in it."""

    server: Server
    known: Mapping[str, str]
    """Ids of what is there, by the names that paths have for them."""


@pytest.fixture(scope="session")
def filled() -> Iterator[Filled]:
    with new_home() as home, started(home) as server:
        graph = server.call("POST", "/api/v2/builder/graphs", json=GREETING).json()["id"]
        path = f"/api/v2/builder/graphs/{graph}/execute?wait=10"
        run = server.call("POST", path, json={"input_data": {"who": "Ann"}}).json()["id"]
        file = server.call("POST", "/api/v2/files/upload", files={"file": ("a.txt", b"text")}).json()["id"]
        key = {"type": "api_key", "title": "mine", "secret": "canary"}
        credentials = server.call("POST", "/api/v2/integrations/github/credentials", json=key).json()["id"]
        agent = server.call("GET", f"/api/v2/library/agents/by-graph/{graph}").json()["id"]
        folder = server.call("POST", "/api/v2/library/folders", json={"name": "Work"}).json()["id"]
        kept = {"execution_id": run, "name": "Kept"}
        preset = server.call("POST", "/api/v2/library/presets", json=kept).json()["id"]
        invite = f"/api/v2/workspaces/{LOCAL_WORKSPACE}/invitations"
        wanted = {"email": "bob@people.test", "role": "viewer"}
        invitation = server.call("POST", invite, json=wanted).json()["id"]
        known = {"graph_id": graph, "execution_id": run, "file_id": file, "firing": "1"}
        known |= {"workspace_id": str(LOCAL_WORKSPACE), "user_id": str(OPERATOR)}
        known |= {"invitation_id": invitation}
        known |= {"agent_id": agent, "folder_id": folder, "preset_id": preset}
        yield Filled(server, {**known, "credentials_id": credentials, "provider": "github"})


@pytest.mark.parametrize(("operation", "mode"), _TRIED)
def test_every_answer_is_as_described(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, filled: Filled
) -> None:
    base = f"http://127.0.0.1:{filled.server.port}"
    headers = {"Authorization": f"Bearer {filled.server.token}"}

    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    @settings(max_examples=_EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
    def tried(case: Case[Any], known: bool) -> None:
        case.headers.pop("X-Workspace-Id", None)  # nearly all workspaces that can be named are not there
        if known and mode is GenerationMode.POSITIVE:
            found = {name: filled.known[name] for name in case.path_parameters if name in filled.known}
            case.path_parameters.update(found)
        case.call_and_validate(base_url=base, headers=headers, checks=_CHECKS)

    tried()
