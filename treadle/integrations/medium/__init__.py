"""Medium: articles."""
