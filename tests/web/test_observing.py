"""Ids, log lines, figures and traces of requests."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.web.conftest import EDGE, TOKEN, Client
from treadle.base.logging import JsonFormatter
from treadle.web.app import make_app
from treadle.web.edge import Edge
from treadle.web.tracing import tracer_from_environment


def _other(client: Client, edge: Edge) -> httpx.AsyncClient:
    """A client of the same site behind another edge."""
    transport = httpx.ASGITransport(make_app(client.site, edge))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8006")


async def test_every_answer_carries_the_id_of_its_request(client: Client) -> None:
    ids = [(await client.http.get(path)).headers["x-request-id"] for path in ("/health", "/nowhere", "/api/v2/reviews")]
    assert len(set(ids)) == 3
    refused = await client.http.get("/health", headers={"Host": "evil.test"})
    assert refused.headers["x-request-id"]
    given = await client.http.get("/health", headers={"X-Request-Id": "trace-1:a.b"})
    assert given.headers["x-request-id"] == "trace-1:a.b"


@pytest.mark.parametrize("harmful", ["a b", "x" * 129, "a\tb", "<script>", ""])
async def test_k8_a_harmful_id_is_replaced(client: Client, harmful: str) -> None:
    answer = await client.http.get("/health", headers={"X-Request-Id": harmful})
    assert answer.headers["x-request-id"] != harmful


async def test_the_log_has_a_line_for_each_request_without_its_query_or_token(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level(logging.INFO, "treadle.access"):
        answer = await client.http.get("/api/v2/executions?limit=1&token=query-canary")
    line = json.loads(next(each for each in caplog.text.splitlines() if "treadle.access" in each))
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v2/executions", 200)
    assert line["bytes"] == len(answer.content)
    assert line["user"]
    assert "query-canary" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_failure_of_the_server_is_found_in_the_log_by_its_trace_id(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("what only the log may say")

    monkeypatch.setattr(type(client.site.executions.lists), "encoded_page", broken)
    caplog.handler.setFormatter(JsonFormatter())
    answer = await client.http.get("/api/v2/executions")
    trace = answer.json()["error"]["details"]["trace_id"]
    lines = [json.loads(each) for each in caplog.text.splitlines() if "what only the log may say" in each]
    assert [each["request_id"] for each in lines] == [trace]


async def test_metrics_count_by_route_never_by_path(client: Client) -> None:
    for path in ("/api/v2/executions", "/api/v2/builder/graphs/one", "/api/v2/builder/graphs/two", "/secret-path"):
        await client.http.get(path)
    figures = (await client.http.get("/metrics")).text
    assert 'treadle_http_requests_total{method="GET",route="/api/v2/executions",status="200"}' in figures
    assert (
        'treadle_http_requests_total{method="GET",route="/api/v2/builder/graphs/{graph_id}",status="404"} 2.0'
        in figures
    )
    assert 'treadle_http_request_duration_seconds_bucket{le="0.1",method="GET",route="/api/v2/executions"}' in figures
    assert 'route="(none)",status="404"' in figures
    assert "secret-path" not in figures


@pytest.mark.parametrize(
    ("edge", "token", "status"),
    [
        (EDGE, "", 200),
        (EDGE, TOKEN, 200),
        (replace(EDGE, local_only=False), "", 401),
        (replace(EDGE, local_only=False), TOKEN, 200),
        (replace(EDGE, metrics_token="for-prometheus"), "", 401),
        (replace(EDGE, metrics_token="for-prometheus"), "wrong", 401),
        (replace(EDGE, metrics_token="for-prometheus", local_only=False), "for-prometheus", 200),
    ],
)
async def test_k9_metrics_are_not_for_strangers(client: Client, edge: Edge, token: str, status: int) -> None:
    async with _other(client, edge) as other:
        answer = await other.get("/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == status


class _Collector(BaseHTTPRequestHandler):
    """Takes spans as a collector does: protobuf over HTTP."""

    got: list[ExportTraceServiceRequest] = []

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip  # noqa: PLC0415

            body = gzip.decompress(body)
        self.got.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    _Collector.got = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_requests_are_spans_of_the_callers_trace(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with _collector() as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "looms")
        tracer = tracer_from_environment()
        assert tracer is not None
        async with _other(client, replace(EDGE, tracer=tracer)) as other:
            parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            await other.get("/api/v2/builder/graphs/unknown", headers={"traceparent": parent})
        await asyncio.to_thread(tracer.close)
    (resource,) = _Collector.got[0].resource_spans
    assert any(
        each.key == "service.name" and each.value.string_value == "looms" for each in resource.resource.attributes
    )
    (span,) = resource.scope_spans[0].spans
    assert span.name == "GET /api/v2/builder/graphs/{graph_id}"
    assert span.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    values = {each.key: each.value for each in span.attributes}
    assert values["http.response.status_code"].int_value == 401
    assert values["http.route"].string_value == "/api/v2/builder/graphs/{graph_id}"


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}]
)
def test_without_an_endpoint_nothing_is_traced(environ: dict[str, str]) -> None:
    assert tracer_from_environment(environ) is None
