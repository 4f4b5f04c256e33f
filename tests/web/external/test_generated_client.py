"""A client is generated from the OpenAPI description by somebody else's generator, and used against a real server."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.main.installs import GREETING
from tests.main.servers import Server, new_home, started

_CALLS = """
import json, sys
from treadle_client import AuthenticatedClient
from treadle_client.api.api_keys import create_api_key
from treadle_client.api.builder import list_graphs
from treadle_client.api.external import external_execute_graph, external_get_me, external_list_graphs
from treadle_client.models import ApiKeyRequest, ExternalExecuteRequest, ExternalExecuteRequestInputData, Scope

url, token, graph = sys.argv[1:]
owner = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
listed = list_graphs.sync(client=owner)
body = ApiKeyRequest(name="generated", scopes=[Scope.IDENTITY, Scope.READ_GRAPH, Scope.EXECUTE_GRAPH])
made = create_api_key.sync(client=owner, body=body)
program = AuthenticatedClient(base_url=url, token=made.secret, prefix="", auth_header_name="X-API-Key")
me = external_get_me.sync(client=program)
graphs = external_list_graphs.sync(client=program)
inputs = ExternalExecuteRequestInputData.from_dict({"who": "Ann"})
ran = external_execute_graph.sync(graph, 1, client=program, body=ExternalExecuteRequest(input_data=inputs), wait=30.0)
print(json.dumps({
    "listed": [each.id for each in listed.graphs],
    "scopes": [str(each) for each in me.scopes],
    "graphs": [each.id for each in graphs.graphs],
    "outputs": ran.outputs.to_dict(),
}))
"""


def _generate(folder: Path, description: Any) -> None:
    (folder / "openapi.json").write_text(json.dumps(description))
    settings = "project_name_override: treadle-client\npackage_name_override: treadle_client\npost_hooks: []\n"
    (folder / "config.yml").write_text(settings)
    program = Path(sys.executable).with_name("openapi-python-client")
    arguments = ["generate", "--path", "openapi.json", "--config", "config.yml", "--output-path", "client"]
    done = subprocess.run(
        [program, *arguments, "--meta", "none"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr


def _use(folder: Path, server: Server, graph: str) -> Any:
    (folder / "calls.py").write_text(_CALLS)
    url = f"http://127.0.0.1:{server.port}"
    (folder / "client").rename(folder / "treadle_client")
    done = subprocess.run(
        [sys.executable, "calls.py", url, server.token, graph],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_generated_client_works(tmp_path: Path) -> None:
    if importlib.util.find_spec("openapi_python_client") is None:
        pytest.fail("openapi-python-client is not installed: run make test, which installs it")
    with new_home() as home, started(home) as server:
        _generate(tmp_path, server.call("GET", "/openapi.json").json())
        graph = server.call("POST", "/api/v2/builder/graphs", json=GREETING).json()["id"]
        got = _use(tmp_path, server, graph)
    assert graph in got["listed"]
    assert graph in got["graphs"]
    assert got["scopes"] == ["EXECUTE_GRAPH", "IDENTITY", "READ_GRAPH"]
    assert got["outputs"] == {"greeting": ["Hello Ann!"]}
