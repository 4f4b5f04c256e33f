"""What a graph is found by: its name, what it says of itself, and the names that its author gave to its nodes."""

from collections.abc import Mapping
from typing import Any

LONGEST_TITLE = 500
LONGEST_BODY = 20_000


def search_text(document: Mapping[str, Any]) -> tuple[str, str]:
    """Title and body of a graph's document. Constants are not among it: they may hold what is nobody's business."""
    names = (node.get("metadata", {}).get("customized_name") for node in document.get("nodes", ()))
    parts = [document.get("description"), document.get("instructions"), *names]
    body = "\n".join(part for part in parts if isinstance(part, str) and part)
    return str(document.get("name") or "")[:LONGEST_TITLE], body[:LONGEST_BODY]
