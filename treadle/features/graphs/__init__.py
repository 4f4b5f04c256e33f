"""Agents as documents: reading and writing agent files, checking them, and their computed schemas."""
