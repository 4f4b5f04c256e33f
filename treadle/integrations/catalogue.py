"""Every integration of this install and every block that they bring.

A folder beside this file is an integration; its ``manifest.py`` has the manifest as ``INTEGRATION``, and the blocks are
those that its other modules define. There is no list to keep.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import treadle.integrations
from treadle.sdk.block import Block
from treadle.sdk.integration import Integration
from treadle.sdk.operations import blocks_in


def providers() -> list[str]:
    """The names of all integration folders, sorted."""
    return sorted(found.name for found in iter_modules(treadle.integrations.__path__) if found.ispkg)


def load_manifest(provider: str) -> Integration:
    """The manifest of one integration; imports nothing else of it."""
    found = import_module(f"treadle.integrations.{provider}.manifest").INTEGRATION
    if not isinstance(found, Integration):
        raise TypeError(f"treadle/integrations/{provider}/manifest.py must define INTEGRATION")
    return found


def load_blocks(provider: str) -> tuple[Block, ...]:
    """The blocks of one integration, file by file."""
    return blocks_in(*(import_module(name) for name in _modules(provider)))


def _modules(provider: str) -> Iterator[str]:
    package = import_module(f"treadle.integrations.{provider}")
    yield from sorted(f"{package.__name__}.{found.name}" for found in iter_modules(package.__path__))


ALL_INTEGRATIONS: tuple[Integration, ...] = tuple(load_manifest(provider) for provider in providers())
"""All manifests, by name."""

ALL_BLOCKS: tuple[Block, ...] = tuple(block for provider in providers() for block in load_blocks(provider))
"""All blocks of all integrations."""
