"""A graph as the kernel sees it: nodes and links, already checked at the boundary that read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from treadle.base.ids import BlockId, GraphId, NodeId


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failing firing is tried again. ``attempts`` counts the first try."""

    attempts: int = 1
    first_delay: float = 1.0
    """Seconds before the second attempt; doubled for each further one."""
    max_delay: float = 300.0
    on: Literal["passing", "any"] = "passing"
    """Which failures are retried: only those marked as passing (RetryLater, time-out), or any."""


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """How a node behaves around its block; every field has a default that suits most."""

    retry: RetryPolicy = RetryPolicy()
    timeout: float = 1800.0
    """Seconds for one attempt."""
    concurrency: int = 100
    """How many firings of the node may run at once."""
    ordered: bool = True
    """Outputs go downstream in the order of the firings."""
    on_error: Literal["fail", "fallback", "branch"] = "branch"
    """``branch`` follows the error link if there is one, else fails; ``fallback`` sends ``fallback`` instead."""
    fallback: tuple[tuple[str, Any], ...] = ()
    on_restart: Literal["run_again", "fail"] = "run_again"
    """What becomes of a firing that had started and not ended when its worker died."""


@dataclass(frozen=True, slots=True)
class Node:
    """One use of a block. ``constants`` are the values typed into the form (``input_default`` in agent files)."""

    id: NodeId
    block_id: BlockId
    constants: Mapping[str, Any] = field(default_factory=dict)
    policy: NodePolicy = NodePolicy()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """From an output pin to an input pin. Names may be dynamic (``values_#_key``)."""

    source: NodeId
    source_name: str
    sink: NodeId
    sink_name: str


@dataclass(frozen=True, slots=True)
class Graph:
    """One immutable version of a graph."""

    id: GraphId
    version: int
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    name: str = ""
