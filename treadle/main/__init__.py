"""Process entry points: the only place that wires ports to their implementations."""
