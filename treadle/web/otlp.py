"""Spans of requests through OpenTelemetry's own library and exporter."""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_KNOWN = ("traceparent", "tracestate")


class OtlpSpan:
    """A span that ends with its request."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def end(self, *, route: str, status: int) -> None:
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtlpTracer:
    """Sends spans in batches from a thread of its own."""

    def __init__(self) -> None:
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins over the name given here.
        resource = Resource({SERVICE_NAME: "treadle"}).merge(Resource.create())
        if resource.attributes.get(SERVICE_NAME) == "unknown_service":
            resource = resource.merge(Resource({SERVICE_NAME: "treadle"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("treadle.web")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, path: str, address: str, headers: Mapping[bytes, bytes]) -> OtlpSpan:
        carrier = {name: headers[name.encode()].decode("latin-1") for name in _KNOWN if name.encode() in headers}
        span = self._tracer.start_span(
            method,
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": path, "client.address": address},
        )
        return OtlpSpan(span, method)

    def close(self) -> None:
        self._provider.shutdown()
