"""``/api/v2/api-keys``: keys of the external API."""
