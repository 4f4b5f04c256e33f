"""Values of secret inputs: encrypted wherever they are kept, in the open only while a block runs.

A secret travels as a token, a text that holds its ciphertext. Tokens are opened in what a block is given, and put back
into whatever it sends, fails with or hands on. What a block makes of a secret (its base64 form, say) is not recognised.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from treadle.base.crypto import KeyMissing
from treadle.base.ids import WorkspaceId
from treadle.engine.ports import Seals
from treadle.kernel.plan import Plan, PlanNode

MASK = "***"
_PREFIX = "treadle-secret."
_TOKEN = re.compile(r"treadle-secret\.[\w-]{20,}\.", re.ASCII)
_SHORTEST = 6
"""A shorter secret is recognised only where it is the whole text."""


class FiringSecrets:
    """The secrets that one firing is given."""

    def __init__(self, seals: Seals, workspace: WorkspaceId) -> None:
        self._seals = seals
        self._workspace = workspace
        self._tokens: dict[str, str] = {}
        self.problem = ""
        """Why a secret could not be opened: the firing must not run with its token instead."""

    def opened(self, value: Any) -> Any:
        """The value with every token replaced by its secret."""
        return _mapped(value, lambda text: _TOKEN.sub(self._open, text) if _PREFIX in text else text)

    def sealed(self, value: Any) -> Any:
        """The value with every secret that was opened replaced by its token."""
        return _mapped(value, self._seal) if self._tokens else value

    def masked(self, text: str) -> str:
        """A message without the secrets."""
        return str(masked(self.sealed(text)))

    def _open(self, found: re.Match[str]) -> str:
        try:
            secret = self._seals.opened(self._workspace, found[0])
        except KeyMissing as error:
            self.problem = f"{error.message} {error.fix}"
            return found[0]
        if secret is None:
            return found[0]
        self._tokens[secret] = found[0]
        return secret

    def _seal(self, text: str) -> str:
        for secret, token in self._tokens.items():
            if text == secret:
                return token
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, token)
        return text


def sealed(value: Any, seals: Seals, workspace: WorkspaceId) -> Any:
    """The value with each of its texts encrypted, unless it is so already."""
    return _mapped(value, lambda text: text if not text or _TOKEN.fullmatch(text) else seals.sealed(workspace, text))


def opened(value: Any, seals: Seals, workspace: WorkspaceId) -> Any:
    """The value with its secrets in the open. Raises ``KeyMissing``."""
    return _mapped(value, lambda text: _TOKEN.sub(lambda found: seals.opened(workspace, found[0]) or found[0], text))


def masked(value: Any) -> Any:
    """The value as people are shown it: tokens hidden."""
    return _mapped(value, lambda text: _TOKEN.sub(MASK, text) if _PREFIX in text else text)


def is_sealed(value: Any) -> bool:
    """Whether there is a token somewhere in the value."""
    if isinstance(value, str):
        return _PREFIX in value and _TOKEN.search(value) is not None
    if isinstance(value, Mapping):
        return any(is_sealed(part) for pair in value.items() for part in pair)
    return isinstance(value, (list, tuple)) and any(map(is_sealed, value))


def has_secrets(node: PlanNode) -> bool:
    """Whether a node is a secret input, or has secrets among its constants or in its fallback."""
    return is_secret_input(node) or is_sealed(node.constants) or is_sealed(node.policy.fallback)


def secret_inputs(plan: Plan) -> Iterable[int]:
    """The plan's input nodes that are marked as secret, by index."""
    return (index for index, node in enumerate(plan.nodes) if is_secret_input(node))


def is_secret_input(node: PlanNode) -> bool:
    """Whether the node is an input that is marked as secret."""
    return node.kind == "Input" and node.constants.get("secret") is True


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _mapped(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_mapped(each, change) for each in value]
    if isinstance(value, tuple):
        return tuple(_mapped(each, change) for each in value)
    return value
