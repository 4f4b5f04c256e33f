"""Credentials: where an install keeps them, and which of them a block is given."""
