"""One folder for each provider: a manifest, its operations and recorded examples."""
