"""Paths as logs and traces may hold them."""

import re

_SECRET = re.compile(r"(/share/)[^/]+")


def logged_path(path: str) -> str:
    """The path without the token that a link carries in it: whoever has that token needs nothing else."""
    return _SECRET.sub(r"\1{token}", path)
