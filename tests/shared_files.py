"""Where the reference material lies that some tests compare with; tests that need it are skipped when it is absent."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
VECTORS = SHARED / "reference" / "blocks" / "vectors"


def needs_shared(path: Path = SHARED) -> pytest.MarkDecorator:
    """Marks a test that reads ``path``; without it the test is reported as skipped, by name."""
    shown = path.relative_to(SHARED.parent)
    return pytest.mark.skipif(not path.exists(), reason=f"needs the reference material {shown}")


@cache
def vector_sets() -> dict[str, Any]:
    """Every recorded set, the files of the folder taken together; empty when there is none."""
    sets: dict[str, Any] = {"fixtures": {}, "blocks": []}
    for file in sorted(VECTORS.glob("*.json")) if VECTORS.exists() else []:
        for name, content in json.loads(file.read_text(encoding="utf-8")).items():
            if isinstance(content, list):
                sets.setdefault(name, []).extend(content)
            elif isinstance(content, dict):
                sets.setdefault(name, {}).update(content)
    return sets
