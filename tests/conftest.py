"""What all tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Reference facts (exported agents, recorded vectors) that lie beside a checkout on some machines."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference facts; a test that needs it is skipped, by name, where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference facts in ../shared")
    return SHARED
