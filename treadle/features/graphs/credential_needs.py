"""Which credentials an agent needs: the credentials pins of all its nodes, grouped as the reference groups them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from treadle.base.ids import BlockId
from treadle.features.graphs.document import AgentFile, NodePart
from treadle.sdk.block import Block
from treadle.sdk.inputs import PinInfo
from treadle.sdk.registry import Registry


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """A credentials pin of a node."""

    graph: str
    node: str
    pin: str
    optional: bool
    """The run may start without: the block copes, or the node (``credentials_optional``) is skipped."""


@dataclass(slots=True)
class CredentialNeed:
    """One choice that a person makes before a run; it serves every pin in ``uses``."""

    key: str
    """``openai_api_key_credentials``: the name under which a run is given its credentials."""
    providers: tuple[str, ...]
    types: tuple[str, ...]
    host: str = ""
    """For credentials of the provider ``http``: where they are sent."""
    scopes: set[str] = field(default_factory=set)
    uses: list[CredentialUse] = field(default_factory=list)
    discriminator: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    """What the nodes' discriminators (model names, addresses) are."""

    @property
    def required(self) -> bool:
        """Whether no run can start without."""
        return any(not use.optional for use in self.uses)


def credential_needs(agent: AgentFile, registry: Registry) -> list[CredentialNeed]:
    """What the agent needs, sub-agents included, in the order of its nodes."""
    needs: dict[str, CredentialNeed] = {}
    for graph in agent.graphs:
        for node in graph.nodes:
            block = registry.get(BlockId(node.block_id))
            for pin in _credential_pins(block) if block else ():
                _add(needs, graph.id, node, block, pin)
    return list(needs.values())


def credentials_input_schema(agent: AgentFile, registry: Registry) -> dict[str, Any]:
    """JSON Schema of the credentials that a run takes, by key."""
    needs = credential_needs(agent, registry)
    stem = "".join(word[:1].upper() + word[1:] for word in agent.name.split())
    return {
        "type": "object",
        "title": f"{stem}CredentialsInputSchema",
        "properties": {need.key: _property(need) for need in needs},
        "required": [need.key for need in needs if need.required],
    }


def is_credentials_pin(pin: PinInfo) -> bool:
    """Whether the pin carries a reference to credentials, which are chosen when a run starts."""
    return "credentials_provider" in pin.schema


def _credential_pins(block: Block) -> Iterator[PinInfo]:
    return (pin for pin in block.reader.pins.values() if is_credentials_pin(pin))


def _add(needs: dict[str, CredentialNeed], graph: str, node: NodePart, block: Block | None, pin: PinInfo) -> None:
    discriminator = str(pin.schema.get("discriminator") or "")
    chosen = _chosen(node, block, discriminator)
    mapping = pin.schema.get("discriminator_mapping") or {}
    providers = [mapping[chosen]] if chosen in mapping else pin.schema["credentials_provider"]
    types = sorted(pin.schema["credentials_types"])
    host = (urlsplit(chosen).hostname or "") if list(providers) == ["http"] else ""
    where = "-".join(sorted(providers)) + (f"_{host}" if host else "")
    key = f"{where}_{'-'.join(types)}_credentials"
    need = needs.setdefault(key, CredentialNeed(key, tuple(sorted(providers)), tuple(types), host))
    need.scopes.update(pin.schema.get("credentials_scopes") or ())
    need.discriminator, need.mapping = discriminator or need.discriminator, mapping or need.mapping
    if chosen:
        need.values.add(host or chosen)
    optional = not pin.required or node.metadata.get("credentials_optional") is True
    need.uses.append(CredentialUse(graph, node.id, pin.name, optional))


def _chosen(node: NodePart, block: Block | None, discriminator: str) -> str:
    """The value of the pin that decides between providers: typed in, or the block's default."""
    pin = block.reader.pins.get(discriminator) if block else None
    value = node.input_default.get(discriminator)
    return str(value if value is not None else pin.default if pin and pin.default is not None else "")


def _property(need: CredentialNeed) -> dict[str, Any]:
    discriminated = {"discriminator": need.discriminator, "discriminator_mapping": need.mapping}
    return {
        "type": "object",
        "title": f"{' or '.join(need.providers)} credentials" + (f" for {need.host}" if need.host else ""),
        "credentials_provider": list(need.providers),
        "credentials_types": list(need.types),
        **({"credentials_scopes": sorted(need.scopes)} if need.scopes else {}),
        "properties": {
            "id": {"type": "string", "title": "Id"},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Title"},
            "provider": {"type": "string", "title": "Provider", **_one_of(need.providers)},
            "type": {"type": "string", "title": "Type", **_one_of(need.types)},
        },
        "required": ["id", "provider", "type"],
        **(discriminated if need.discriminator else {}),
        "discriminator_values": sorted(need.values),
    }


def _one_of(values: tuple[str, ...]) -> dict[str, Any]:
    return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}
