"""Tokens in paths reach neither log nor trace."""

import logging
import re

import pytest

from tests.web.conftest import Client
from treadle.base.logging import JsonFormatter
from treadle.web.app import make_routes
from treadle.web.logged_paths import logged_path

CANARY = "path-canary"


def test_no_path_with_a_token_is_logged_with_it() -> None:
    paths = [path for path in make_routes("test").openapi()["paths"] if "{token}" in path]
    assert paths
    for path in paths:
        assert CANARY not in logged_path(re.sub(r"{\w+}", "x", path.replace("{token}", CANARY)))


@pytest.mark.parametrize("path", ["/api/v2/executions/a-b/share", "/api/v2/executions", "/share", "/"])
def test_other_paths_are_logged_as_they_are(path: str) -> None:
    assert logged_path(path) == path


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_line_of_a_shared_run_does_not_share_it(
    method: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level(logging.INFO, "treadle.access"):
        await client.http.request(method, f"/api/v2/share/{CANARY}/values/x")
    assert "/api/v2/share/{token}/values/x" in caplog.text
    assert CANARY not in caplog.text
