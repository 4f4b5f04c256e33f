"""``/api/v2/builder``: blocks and graphs."""
