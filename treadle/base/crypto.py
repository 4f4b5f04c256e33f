"""Encryption of what an install keeps: a ring of keys, of which the first encrypts and each decrypts.

The ring is the one root of encryption. What is encrypted (AES-256-GCM, a fresh random nonce each time) begins with the
id of its key, so that several keys can be in use while secrets are moved from an old one to a new one; and it is bound
to the place where it is kept, so that nobody who can write to the database can pass one secret off as another.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from treadle.base.errors import ConfigurationError, TreadleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from treadle.base.config import Settings

FILE = "secrets.key"
_FORM = b"\x01"
"""First byte of everything that is sealed: the form of what follows."""
_ID_BYTES = 8
_NONCE_BYTES = 12
_KEY_BYTES = 32
_ONE_KEY_FILE_BYTES = 64
"""A file of the first form: one bare key, which encrypted secret inputs directly."""
_HEADER = (
    "# Keys of Treadle: one a line, base64. The first encrypts, the others only decrypt what was encrypted before.\n"
    "# Without this file the stored secrets are lost: keep a copy in a safe place, apart from the database's.\n"
)
HOLD_KEYS = "SELECT pg_advisory_xact_lock_shared(7526411283028664697)"
"""What a transaction does before it seals what it writes: no key is dropped from the ring until it has ended."""
DROP_KEYS = "SELECT pg_advisory_xact_lock(7526411283028664697)"
"""What a transaction does before it looks which keys are still used, and drops the others."""


class KeyMissing(ConfigurationError):
    """Something is encrypted with a key that the ring does not have. Nothing is lost while the key can be put back."""

    code: ClassVar[str] = "encryption_key_missing"


class BrokenSeal(TreadleError):
    """A ciphertext is damaged, or was made for another place than the one in which it was found."""

    code: ClassVar[str] = "broken_seal"


@dataclass(frozen=True, repr=False)
class RingKey:
    """One key of a ring; ``material`` is at least 32 random bytes."""

    material: bytes

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that name the key and tell nothing of it."""
        return hashlib.sha256(b"treadle key id\0" + self.material).digest()[:_ID_BYTES].hex()

    @cached_property
    def cipher(self) -> "AESGCM":
        """Under a key derived for this use alone."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 (20 ms that not every process needs)
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        derived = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"treadle sealed").derive(self.material)
        return AESGCM(derived)

    @classmethod
    def new(cls) -> "RingKey":
        """A fresh random key."""
        return cls(os.urandom(_KEY_BYTES))


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table whose rows hold ``ciphertext bytea`` and ``key_id text``; ``ids`` are the columns that name a row."""

    name: str
    ids: tuple[str, ...]

    def binding(self, *ids: object) -> bytes:
        """What binds a ciphertext to the row of these ids, in the order of the columns."""
        return row_binding(self.name, *ids)


class Keys(Protocol):
    """Where the keys of a ring come from."""

    where: str
    """In words that complete "which is not in ..."."""

    def read(self) -> Sequence[RingKey]:
        """All keys, the one that encrypts first; none when none were ever made."""
        ...

    def find(self, id: str) -> RingKey | None:
        """The key of that id, if it is here or was when this process last looked."""
        ...

    def make(self) -> None:
        """Make the first key. Raises ``ConfigurationError`` when that is not for this process to do."""
        ...


class KeyRing:
    """Encrypts with the first of its keys, and decrypts with whichever key was used."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def seal(self, content: bytes, bound_to: bytes) -> bytes:
        """Encrypt; the result opens only with the same ``bound_to`` (``SealedTable.binding``). Makes the first key.

        The transaction that writes it must have executed ``HOLD_KEYS`` before.

        Raises:
            ConfigurationError: the keys cannot be used.
        """
        key = self._writing()
        head = _FORM + bytes.fromhex(key.id)
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + key.cipher.encrypt(nonce, content, head + bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypt what ``seal`` made.

        Raises:
            KeyMissing: its key is not in the ring.
            BrokenSeal: it was changed, or sealed for another place.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        key = self._find(key_id(sealed))
        head, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        try:
            return key.cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + bound_to)
        except (InvalidTag, ValueError):
            raise _broken() from None

    def writing_id(self) -> str:
        """The id of the key that encrypts. Makes the first key."""
        return self._writing().id

    def ids(self) -> list[str]:
        """The ids of all keys, the one that encrypts first."""
        return [key.id for key in self.keys.read()]

    def require(self, ids: Collection[str]) -> None:
        """Raises ``KeyMissing`` when one of the keys is not in the ring."""
        for id in sorted(ids):
            self._find(id)

    def bare_key(self) -> bytes | None:
        """The key of a file of the first form, which has encrypted secret inputs directly; None of any other."""
        found = [key.material for key in self.keys.read() if len(key.material) == _ONE_KEY_FILE_BYTES]
        return found[-1] if found else None

    def _writing(self) -> RingKey:
        keys = self.keys.read()
        if not keys:
            self.keys.make()
            keys = self.keys.read()
        return keys[0]

    def _find(self, id: str) -> RingKey:
        found = self.keys.find(id)
        if found is not None:
            return found
        raise KeyMissing(
            f"Stored secrets are encrypted with the key {id}, which is not in {self.keys.where}.",
            fix="Put the key back, from a backup or from the machine that made it: nothing is lost then. If it is lost "
            "for good, run `treadle rotate-keys --lost`, and enter those secrets again.",
        )


class GivenKeys:
    """Keys of the setting TREADLE_ENCRYPTION_KEYS."""

    where = "TREADLE_ENCRYPTION_KEYS"

    def __init__(self, keys: Iterable[RingKey]) -> None:
        self._keys = tuple(keys)

    def read(self) -> Sequence[RingKey]:
        return self._keys

    def find(self, id: str) -> RingKey | None:
        return next((key for key in self._keys if key.id == id), None)

    def make(self) -> None:
        raise ConfigurationError("TREADLE_ENCRYPTION_KEYS holds no key.", fix="Set it to a base64 key of 32 bytes.")


class FileKeys:
    """Keys of a file that only its owner may read. It is read again when it changes: other processes rotate keys."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.where = str(file)
        self._version: tuple[int, ...] = ()
        self._keys: tuple[RingKey, ...] = ()
        self._known: dict[str, RingKey] = {}
        """Also those that another process has dropped: what was read before that must still open."""

    def read(self) -> Sequence[RingKey]:
        """Raises ``ConfigurationError`` for a file that others may read, that holds no keys, or that is gone."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            if not self._keys:
                return ()
            raise ConfigurationError(
                f"{self.file} is gone, and with it the keys of all stored secrets.",
                fix="Put it back from a backup; nothing is lost if you do.",
            ) from None
        version = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if version != self._version:
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(f"{self.file} can be read by other users.", fix=f"Run: chmod 600 {self.file}")
            self._keys = self._parsed(self.file.read_bytes())
            self._version = version
            self._known |= {key.id: key for key in self._keys}
        return self._keys

    def find(self, id: str) -> RingKey | None:
        self.read()
        return self._known.get(id)

    def make(self) -> None:
        """Under another name first: a process that starts at the same time never sees half a file."""
        with self._written([RingKey.new()]) as draft, contextlib.suppress(FileExistsError):
            os.link(draft, self.file)

    def replace(self, keys: Sequence[RingKey]) -> None:
        """Put these keys in place of the file's, all or nothing, and durably."""
        with self._written(keys) as draft:
            draft.rename(self.file)
            folder = os.open(self.file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _written(self, keys: Sequence[RingKey]) -> Iterator[Path]:
        handle, name = tempfile.mkstemp(dir=self.file.parent, prefix=".key-")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(_HEADER + "".join(f"{base64.b64encode(key.material).decode()}\n" for key in keys))
                file.flush()
                os.fsync(handle)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _parsed(self, content: bytes) -> tuple[RingKey, ...]:
        if len(content) == _ONE_KEY_FILE_BYTES:
            return (RingKey(content),)
        try:
            lines = content.decode("ascii").splitlines()
            keys = tuple(_read_key(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
        except (ValueError, UnicodeDecodeError):
            keys = ()
        if not keys:
            raise ConfigurationError(
                f"{self.file} does not hold keys in the form in which Treadle writes them.",
                fix="Put it back from a backup. It is not overwritten: the stored secrets depend on it.",
            )
        return keys


def key_ring(settings: "Settings") -> KeyRing:
    """The ring of an install: of the setting TREADLE_ENCRYPTION_KEYS, else of ``secrets.key`` in the data folder."""
    given = settings.encryption_keys.get_secret_value()
    return KeyRing(GivenKeys(parsed_keys(given)) if given else FileKeys(settings.home / FILE))


def parsed_keys(text: str) -> list[RingKey]:
    """Keys in base64, separated by commas. Raises ``ValueError``, which does not quote them."""
    return [_read_key(part.strip()) for part in text.split(",") if part.strip()]


def key_id(sealed: bytes) -> str:
    """The id of the key that something was sealed with. Raises ``BrokenSeal`` when it was not sealed at all."""
    if len(sealed) <= 1 + _ID_BYTES + _NONCE_BYTES or sealed[:1] != _FORM:
        raise _broken()
    return sealed[1 : 1 + _ID_BYTES].hex()


def row_binding(table: str, *ids: object) -> bytes:
    """What binds a ciphertext to its row: the table's name and the ids that name the row."""
    return "\0".join((table, *map(str, ids))).encode()


def _broken() -> BrokenSeal:
    return BrokenSeal(
        "A stored secret cannot be decrypted: it was changed, or belongs somewhere else.",
        fix="Enter the secret again, or restore the database from a backup.",
    )


def _read_key(text: str) -> RingKey:
    try:
        material = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("each key must be written in base64") from None
    if not _KEY_BYTES <= len(material) <= _ONE_KEY_FILE_BYTES:
        raise ValueError("each key must have 32 bytes, such as `openssl rand -base64 32` makes")
    return RingKey(material)
