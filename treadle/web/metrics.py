"""What Prometheus is told of the HTTP interface: requests, their time and their failures, by route."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class HttpMetrics:
    """The figures of one server. Names and units follow Prometheus' own advice for instrumentation."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["method", "route", "status"]
        self._requests = Counter(
            "treadle_http_requests", "HTTP requests that were answered.", names, registry=self.registry
        )
        self._seconds = Histogram(
            "treadle_http_request_duration_seconds",
            "Time from a request's head to its answer's end.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._open = Gauge("treadle_http_requests_in_progress", "HTTP requests being served.", registry=self.registry)

    def begun(self) -> None:
        """A request has come."""
        self._open.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """It was answered. ``route`` is the route's pattern, never the path: paths are without number."""
        method = method if method in _METHODS else "OTHER"
        self._open.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        """All figures in Prometheus' text form."""
        return generate_latest(self.registry)
