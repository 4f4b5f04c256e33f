"""``/api/v2/files``: upload and download."""
