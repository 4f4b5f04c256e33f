"""The HTTP edge: routes, request guards, error bodies, OpenAPI."""
