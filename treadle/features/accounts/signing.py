"""The keys that access tokens are signed with: ES256, kept encrypted, exchanged without anybody noticing."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from treadle.base.clock import Clock
from treadle.base.crypto import BrokenSeal, KeyMissing, KeyRing, SealedTable
from treadle.features.accounts.opaque import new_token

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from treadle.features.accounts.models import SigningKeyRow
    from treadle.features.accounts.storage import AccountStorage

ALGORITHM = "ES256"
SEALED_SIGNING_KEYS = SealedTable("signing_keys", ("id",))

_OUTLIVES = timedelta(hours=2)
"""How long a retired key verifies: longer than a token is good that was signed with it."""
_LOOK_AGAIN_SECONDS = 5.0
"""After a key was not found. Whoever sends made-up names of keys does not make us ask the database each time."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs at present."""

    id: str
    private_key: "EllipticCurvePrivateKey"


class SigningKeys:
    """The signing keys of an install, kept in memory until ``forget``."""

    def __init__(self, storage: "AccountStorage", ring: KeyRing, clock: Clock) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._signer: Signer | None = None
        self._public: dict[str, dict[str, Any]] = {}
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        """Read them again: another process has added or retired one."""
        self._signer = None
        self._looked_at = float("-inf")

    async def signer(self) -> Signer:
        """The key to sign with. The first time it is made."""
        if self._signer is None:
            async with self._lock:
                self._signer = self._signer or await self._opened() or await self._made()
        return self._signer

    async def verifying(self, id: str) -> Mapping[str, Any] | None:
        """The public key (a JWK) of that id; None when there is none, or none that is still good."""
        if id not in self._public and self._clock.monotonic() - self._looked_at >= _LOOK_AGAIN_SECONDS:
            await self._read()
        return self._public.get(id)

    async def published(self) -> list[Mapping[str, Any]]:
        """All public keys (JWKs) that tokens may have been signed with, the newest first."""
        await self.signer()
        await self._read()
        return list(self._public.values())

    async def exchange(self) -> str:
        """Sign with a new key from now on; gives its id. The old ones verify until their tokens have run out."""
        before = [row.id for row in await self._rows()]
        signer = await self._made()
        async with self._storage.repository() as accounts:
            await accounts.retire_signing_keys(before, self._clock.now())
        self.forget()
        return signer.id

    async def _rows(self) -> "list[SigningKeyRow]":
        async with self._storage.repository() as accounts:
            return await accounts.signing_keys(self._clock.now() - _OUTLIVES)

    async def _read(self) -> "list[SigningKeyRow]":
        rows = await self._rows()
        self._looked_at = self._clock.monotonic()
        self._public = {row.id: row.public_key for row in rows}
        return rows

    async def _opened(self) -> Signer | None:
        """The newest key that is not retired; None when there is none, or its encryption key is missing."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415 (slow to load)
        from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415

        current = next((row for row in await self._read() if row.retired_at is None), None)
        if current is None:
            return None
        try:
            content = self._ring.open(current.ciphertext, SEALED_SIGNING_KEYS.binding(current.id))
        except (KeyMissing, BrokenSeal) as error:
            # Nothing depends on it but tokens that run out within the hour: a new one takes its place.
            _log.error("The signing key %s cannot be opened, so a new one is made. %s", current.id, error.message)
            return None
        private = load_der_private_key(content, None)
        assert isinstance(private, EllipticCurvePrivateKey)
        return Signer(current.id, private)

    async def _made(self) -> Signer:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from jwt.algorithms import ECAlgorithm  # noqa: PLC0415

        id = new_token()[:16]
        private = ec.generate_private_key(ec.SECP256R1())
        content = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        public |= {"kid": id, "alg": ALGORITHM, "use": "sig", "key_ops": ["verify"]}
        async with self._storage.repository() as accounts:
            await accounts.hold_keys()
            await accounts.add_signing_key(id, public, self._ring.seal(content, SEALED_SIGNING_KEYS.binding(id)))
        self._public[id] = public
        return Signer(id, private)
