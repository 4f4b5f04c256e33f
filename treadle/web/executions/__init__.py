"""``/api/v2/executions`` and ``/api/v2/reviews``: runs and what waits for a person."""
