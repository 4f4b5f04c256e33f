"""Which credentials a block is given: those that its node names, else the only ones of the provider."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from treadle.base.clock import Clock, SystemClock
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.offers import Offers, of_install, wish_of
from treadle.features.credentials.vault import Vault
from treadle.sdk.block import Block
from treadle.sdk.credentials import Credentials

EVERY_PROVIDER = "*"


class CredentialsSource:
    """The engine's source of credentials (``treadle.engine.ports.CredentialsSource``).

    A workspace has its own credentials, in the ``vault``. Those of the ``keyring`` belong to the install's operator:
    the local workspace uses them all, others only those of the ``shared`` providers (``*``: all).
    """

    def __init__(
        self,
        keyring: Keyring,
        keyless: frozenset[str] = frozenset(),
        vault: Vault | None = None,
        shared: frozenset[str] = frozenset(),
        clock: Clock | None = None,
    ) -> None:
        self._keyring = keyring
        self._keyless = keyless
        self._vault = vault
        self._shared = shared
        self._clock = clock or SystemClock()

    async def credentials_for(
        self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]
    ) -> dict[str, Credentials]:
        """Resolved credentials by pin name.

        Raises:
            CredentialsNeeded: a required pin has none, or several and no choice.
            RetryLater: those of the workspace cannot be read at present.
        """
        pins = [pin for pin in block.reader.pins.values() if "credentials_provider" in pin.schema]
        if not pins:
            return {}
        offers = await self.offers(workspace)
        found: dict[str, Credentials] = {}
        for pin in pins:
            chosen = offers.choose(wish_of(pin, block, inputs), required=pin.required)
            if chosen is not None:
                found[pin.name] = chosen.open()
                if chosen.own and self._vault is not None:
                    await self._vault.note_use(workspace, chosen.id)
        return found

    async def offers(self, workspace: WorkspaceId) -> Offers:
        """All credentials that the workspace may use.

        Raises:
            ConfigurationError: the file of the install's credentials is not as it must be.
        """
        own = await self._vault.offers(workspace) if self._vault is not None else []
        every = (*own, *of_install(self._of_install(workspace)))
        return Offers(every, self._clock.now(), self._keyless, partial(self._remedy, workspace))

    def _of_install(self, workspace: WorkspaceId) -> list[Credentials]:
        every = self._keyring.all()
        if workspace == LOCAL_WORKSPACE or EVERY_PROVIDER in self._shared:
            return every
        return [each for each in every if each.provider in self._shared]

    def _remedy(self, workspace: WorkspaceId, provider: str) -> str:
        if workspace == LOCAL_WORKSPACE:
            return self._keyring.remedy(provider)
        return f"Add your {provider} credentials to the workspace."
