"""Accounts at providers: what can be connected, and what is."""
