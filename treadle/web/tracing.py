"""Traces of requests, sent over OTLP when an endpoint is set (``OTEL_EXPORTER_OTLP_ENDPOINT``); else nothing is loaded.

The names of attributes are those of OpenTelemetry's semantic conventions for HTTP servers; the standard ``OTEL_*``
variables say where to, under which service name, and how much is sampled.
"""

import os
from collections.abc import Mapping
from typing import Protocol

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class RequestSpan(Protocol):
    """The span of one request."""

    def end(self, *, route: str, status: int) -> None:
        """The request was answered."""
        ...


class Tracer(Protocol):
    """Makes spans of requests."""

    def begin(self, method: str, path: str, address: str, headers: Mapping[bytes, bytes]) -> RequestSpan:
        """A request has come; a ``traceparent`` header makes its span part of the caller's trace."""
        ...

    def close(self) -> None:
        """Send what is still to be sent."""
        ...


def tracer_from_environment(environ: Mapping[str, str] = os.environ) -> Tracer | None:
    """None when no endpoint is set, or tracing is switched off."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    from treadle.web.otlp import OtlpTracer  # noqa: PLC0415 (15 MB that few installs need)

    return OtlpTracer()
