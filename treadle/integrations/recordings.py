"""Recorded cases of integrations: what a block was given, what went to the provider and came back, what it sent.

They are the tests of the blocks and the worked cases of their documentation: ``<provider>/examples/<block>.json`` is a
list of them. Replies hold no more than what matters, and no secret.
"""

from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from treadle.sdk.block import Emission


class Exchange(BaseModel):
    """One request and its reply. ``url`` has the query, without the credentials."""

    model_config = ConfigDict(extra="forbid")

    method: str
    url: str
    json_body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    reply: Any = None
    """JSON, or text."""
    unchecked: str = ""
    """Why the request cannot be held against the provider's published API description; empty when it can."""


class Recording(BaseModel):
    """One case of one block. Credentials are added by whoever runs it."""

    model_config = ConfigDict(extra="forbid")

    title: str
    inputs: dict[str, Any]
    exchanges: list[Exchange] = []
    outputs: list[Emission] = []
    error: str = ""
    """The message with which the block fails, when it does."""


_FILE = TypeAdapter(list[Recording])


def recordings(provider: str) -> dict[str, list[Recording]]:
    """All recordings of an integration folder, by the name of the block."""
    folder = resources.files(f"treadle.integrations.{provider}") / "examples"
    if not folder.is_dir():
        return {}
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return {file.name.removesuffix(".json"): _FILE.validate_json(file.read_bytes()) for file in files}
