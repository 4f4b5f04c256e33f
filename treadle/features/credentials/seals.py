"""Encryption of secret inputs: AES-SIV (RFC 5297) under a data key, bound to the workspace.

The same secret of a workspace always has the same ciphertext, so an agent that is saved again has not changed.
"""

import base64
import binascii
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from treadle.base.crypto import KeyMissing, KeyRing
from treadle.base.data_keys import DataKey
from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_PREFIX = "treadle-secret."
_FORM = b"\x02"
"""First byte of a token; the data key's id follows. Tokens of the first form are a bare ciphertext."""
_HEAD_BYTES = 9


class KeySeals:
    """Implements ``treadle.engine.ports.Seals``: the first of the data keys encrypts."""

    def __init__(self, keys: Sequence[DataKey], ring: KeyRing) -> None:
        self._keys = {key.id: key for key in keys}
        self._writing = keys[0]
        self._ring = ring
        self._ciphers: dict[str, AESSIV] = {}

    def sealed(self, workspace: WorkspaceId, text: str) -> str:
        """The token of a text."""
        head = _FORM + bytes.fromhex(self._writing.id)
        content = text.encode("utf-8", "surrogatepass")
        cipher = head + self._cipher(self._writing).encrypt(content, [head, workspace.bytes])
        return f"{_PREFIX}{base64.urlsafe_b64encode(cipher).decode().rstrip('=')}."

    def opened(self, workspace: WorkspaceId, token: str) -> str | None:
        """The text of a token; None when it was not made here for this workspace.

        Raises:
            KeyMissing: it was made here, with a key that is lost.
        """
        body = token.removeprefix(_PREFIX).removesuffix(".")
        try:
            cipher = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        except binascii.Error:
            return None
        key = self._keys.get(cipher[1:_HEAD_BYTES].hex()) if cipher[:1] == _FORM else None
        if key is not None:
            return self._decrypted(key, cipher[_HEAD_BYTES:], [cipher[:_HEAD_BYTES], workspace.bytes])
        return self._of_first_form(workspace, cipher)

    def _of_first_form(self, workspace: WorkspaceId, cipher: bytes) -> str | None:
        for key in self._keys.values():
            with contextlib.suppress(KeyMissing):
                found = self._decrypted(key, cipher, [workspace.bytes])
                if found is not None:
                    return found
        return None

    def _decrypted(self, key: DataKey, cipher: bytes, bound_to: list[bytes]) -> str | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            return self._cipher(key).decrypt(cipher, bound_to).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, key: DataKey) -> "AESSIV":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 (not every process needs it)

        if key.id not in self._ciphers:
            self._ciphers[key.id] = AESSIV(key.material(self._ring))
        return self._ciphers[key.id]
