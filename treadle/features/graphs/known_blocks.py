"""Names of blocks that agent files use, for the ones that this install does not have."""

import json
from functools import cache
from importlib.resources import files


@cache
def _names() -> dict[str, str]:
    text = files("treadle.features.graphs").joinpath("known_blocks.json").read_text(encoding="utf-8")
    names: dict[str, str] = json.loads(text)
    return names


def known_block_name(block_id: str) -> str:
    """The stable name of a block of the AutoGPT platform's catalogue, or nothing when the id is not in it."""
    return _names().get(block_id, "")
