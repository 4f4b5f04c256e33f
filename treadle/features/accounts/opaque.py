"""Tokens that say nothing by themselves: random, and kept as their hash only."""

import hashlib
import secrets

_BYTES = 32


def new_token() -> str:
    """A fresh one: 256 random bits, safe in addresses."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a token. It is as hard to guess as the token, so that it needs no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
