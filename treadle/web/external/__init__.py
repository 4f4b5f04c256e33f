"""``/external-api/v1``: what programs do with a key."""
