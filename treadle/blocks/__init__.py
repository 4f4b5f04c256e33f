"""The built-in blocks: those that belong to no provider."""
