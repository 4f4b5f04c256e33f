"""Live events over HTTP: the WebSocket ``/ws``, and a run's events as server-sent events."""
