"""Which credentials an agent cannot run without, kept with its entry so that a list need not read the agents."""

import hashlib
from collections.abc import Iterable

import msgspec

from treadle.features.credentials.offers import Offers, Wish, reference_in
from treadle.features.graphs.credential_needs import (
    CredentialNeed,
    CredentialUse,
    credential_needs,
    is_credentials_pin,
)
from treadle.features.graphs.document import AgentFile, NodePart
from treadle.sdk.credentials import AuthKind, CredentialsRef
from treadle.sdk.errors import CredentialsNeeded
from treadle.sdk.registry import Registry


class Need(msgspec.Struct, frozen=True):
    """Credentials without which no run can start."""

    providers: tuple[str, ...]
    types: tuple[str, ...]
    host: str
    chosen: tuple[str, str, str] | None
    """(id, provider, type) of those that a node names."""

    def is_met(self, offers: Offers) -> bool:
        """Whether they are among those on offer, and no choice is left to make."""
        ref = None
        if self.chosen is not None:
            id, provider, kind = self.chosen
            ref = CredentialsRef(id=id, provider=provider, type=AuthKind(kind))
        try:
            offers.choose(Wish(ref, self.providers, tuple(AuthKind(kind) for kind in self.types), self.host))
        except CredentialsNeeded:
            return False
        return True


NOTHING = "[]"
"""The JSON of no needs."""
_decoder = msgspec.json.Decoder(list[Need])


def needs_of(agent: AgentFile, registry: Registry) -> list[Need]:
    """What the agent needs, sub-agents included, each once."""
    nodes = {(graph.id, node.id): node for graph in agent.graphs for node in graph.nodes}
    found: dict[Need, None] = {}
    for need in credential_needs(agent, registry):
        for use in need.uses:
            node = nodes[use.graph, use.node]
            if _is_needed(need, use, node):
                found[_need(need, reference_in(node.input_default.get(use.pin)))] = None
    return list(found)


def _is_needed(need: CredentialNeed, use: CredentialUse, node: NodePart) -> bool:
    """A pin that may be empty is not, when a model was chosen whose provider asks for a key."""
    is_chosen = bool(need.mapping) and len(need.providers) == 1
    return not use.optional or (is_chosen and node.metadata.get("credentials_optional") is not True)


def _need(need: CredentialNeed, ref: CredentialsRef | None) -> Need:
    chosen = None if ref is None else (ref.id, ref.provider, ref.type.value)
    return Need(need.providers, need.types, need.host, chosen)


def written_needs(needs: Iterable[Need]) -> str:
    """As JSON."""
    return msgspec.json.encode(list(needs)).decode()


def are_met(needs: str, offers: Offers) -> bool:
    """Whether all of these, given as JSON, are among those on offer."""
    return all(each.is_met(offers) for each in _decoder.decode(needs))


def basis_of(registry: Registry) -> str:
    """Names what agents' needs follow from beside the agents: the credentials pins of the blocks that are installed."""
    digest = hashlib.sha256()
    for block in sorted(registry, key=lambda block: block.id):
        pins = [(pin.name, pin.required, pin.schema) for pin in block.reader.pins.values() if is_credentials_pin(pin)]
        if pins:
            digest.update(msgspec.json.encode([block.id, pins]))
    return digest.hexdigest()[:16]
