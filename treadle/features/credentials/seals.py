"""Encryption of secret inputs: AES-SIV (RFC 5297) under a key in the data folder, bound to the workspace.

The same secret of a workspace always has the same ciphertext, so an agent that is saved again has not changed.
"""

import base64
import contextlib
import os
import stat
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.base.errors import ConfigurationError
from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

FILE = "secrets.key"
_PREFIX = "treadle-secret."
_KEY_BITS = 512


class KeySeals:
    """Implements ``treadle.engine.ports.Seals``. The key is made when it is first needed."""

    def __init__(self, home: Path) -> None:
        self.file = home / FILE

    def sealed(self, workspace: WorkspaceId, text: str) -> str:
        """The token of a text. Raises ``ConfigurationError`` when the key cannot be used."""
        cipher = self._cipher.encrypt(text.encode("utf-8", "surrogatepass"), [workspace.bytes])
        return f"{_PREFIX}{base64.urlsafe_b64encode(cipher).decode().rstrip('=')}."

    def opened(self, workspace: WorkspaceId, token: str) -> str | None:
        """The text of a token; None when it was not made here for this workspace."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        body = token.removeprefix(_PREFIX).removesuffix(".")
        try:
            cipher = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            return self._cipher.decrypt(cipher, [workspace.bytes]).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None

    @cached_property
    def _cipher(self) -> "AESSIV":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

        if not self.file.exists():
            self._make()
        return AESSIV(self._read())

    def _make(self) -> None:
        """Under another name first: a process that starts at the same time never sees half a key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

        handle, name = tempfile.mkstemp(dir=self.file.parent, prefix=".key-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(AESSIV.generate_key(_KEY_BITS))
            with contextlib.suppress(FileExistsError):
                os.link(name, self.file)
        finally:
            Path(name).unlink()

    def _read(self) -> bytes:
        if self.file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"{self.file} can be read by other users", fix=f"Run: chmod 600 {self.file}")
        key = self.file.read_bytes()
        if len(key) * 8 != _KEY_BITS:
            raise ConfigurationError(f"{self.file} is no key of {_KEY_BITS} bits", fix="Restore it from a backup.")
        return key
