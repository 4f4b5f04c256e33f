"""Other platforms, given the same work on the same machine: ``python -m benchmarks --peers``."""
