"""``/api/v2/library``: agents as people find, file, set up and run them; folders and presets."""
