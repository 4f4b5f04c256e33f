"""The fixtures of the engine's tests."""

from tests.engine.conftest import idle

__all__ = ["idle"]
