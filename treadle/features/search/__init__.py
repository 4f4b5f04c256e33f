"""Finding blocks and agents, by words and by meaning."""
