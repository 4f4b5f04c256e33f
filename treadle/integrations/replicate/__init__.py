"""Replicate: models of all kinds, run in the cloud."""
