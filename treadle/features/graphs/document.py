"""The agent file: the document in which agents are exported, shared and imported.

The format is that of the AutoGPT platform's exports with one addition, ``policy`` on nodes. Keys that a reader does not
know are ignored, as the reference does; ``treadle.features.graphs.reader`` notes them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr

from treadle.kernel.graph import NodePolicy, RetryPolicy

MAX_NAME = 500
"""Characters in an id or a name of a pin: longer ones are not names."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Values = dict[str, JsonValue]
OrEmptyMap = Annotated[Values, BeforeValidator(lambda value: {} if value is None else value)]
OrEmptyText = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
OrFalse = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]


class _Part(BaseModel):
    """Base of the parts of an agent file: unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")


class RetryPart(_Part):
    """``policy.retry`` of a node: see ``treadle.kernel.graph.RetryPolicy``."""

    attempts: int = 1
    first_delay: float = 1.0
    max_delay: float = 300.0
    on: Literal["passing", "any"] = "passing"


class PolicyPart(_Part):
    """``policy`` of a node: see ``treadle.kernel.graph.NodePolicy``. Ranges are checked by the validation."""

    retry: RetryPart = Field(default_factory=RetryPart)
    timeout: float = 1800.0
    concurrency: int = 100
    ordered: bool = True
    on_error: Literal["fail", "fallback", "branch"] = "branch"
    fallback: OrEmptyMap = Field(default_factory=dict)
    on_restart: Literal["run_again", "fail"] = "run_again"

    def to_kernel(self) -> NodePolicy:
        """The same policy as the engine reads it."""
        return NodePolicy(
            retry=RetryPolicy(**self.retry.model_dump()),
            timeout=self.timeout,
            concurrency=self.concurrency,
            ordered=self.ordered,
            on_error=self.on_error,
            fallback=tuple(self.fallback.items()),
            on_restart=self.on_restart,
        )


class NodePart(_Part):
    """One use of a block. ``input_default`` holds its constants, ``metadata`` what the canvas keeps."""

    id: Name
    block_id: Name
    input_default: OrEmptyMap = Field(default_factory=dict)
    metadata: OrEmptyMap = Field(default_factory=dict)
    policy: PolicyPart = Field(default_factory=PolicyPart)

    @property
    def custom_name(self) -> str:
        """The name that its author gave the node, or nothing."""
        name = self.metadata.get("customized_name")
        return name if isinstance(name, str) else ""


class LinkPart(_Part):
    """From an output pin to an input pin. ``is_static`` follows from the source's block, whatever a file says."""

    id: str | None = None
    source_id: Name
    source_name: Name
    sink_id: Name
    sink_name: Name
    is_static: OrFalse = False

    @property
    def ends(self) -> tuple[str, str, str, str]:
        """What makes a link itself: two links with the same ends are one."""
        return (self.source_id, self.source_name, self.sink_id, self.sink_name)


class GraphPart(_Part):
    """One graph of an agent file."""

    id: Name
    version: int = Field(default=1, ge=0, le=2**31 - 1)
    is_active: bool = True
    name: OrEmptyText = ""
    description: OrEmptyText = ""
    instructions: str | None = None
    recommended_schedule_cron: str | None = None
    forked_from_id: str | None = None
    forked_from_version: int | None = None
    nodes: list[NodePart]
    links: list[LinkPart] = Field(default_factory=list)


class AgentFile(GraphPart):
    """An agent: its main graph, and the graphs that it runs as sub-agents."""

    sub_graphs: list[GraphPart] = Field(default_factory=list)

    _notes: tuple[str, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader found odd and mended or left out; empty for a document that was not read from a file."""
        return self._notes

    def with_notes(self, notes: tuple[str, ...]) -> "AgentFile":
        """Attach the reader's notes; returns the document itself."""
        self._notes = notes
        return self

    @property
    def graphs(self) -> list[GraphPart]:
        """All graphs, the main one first."""
        return [self, *self.sub_graphs]

    def by_id(self) -> dict[str, list[GraphPart]]:
        """The graphs by id: an agent may run two versions of one sub-agent."""
        found: dict[str, list[GraphPart]] = {}
        for graph in self.graphs:
            found.setdefault(graph.id, []).append(graph)
        return found


def version_of(graphs: list[GraphPart], version: JsonValue) -> GraphPart:
    """Out of the versions of a graph the one that is asked for, else the first: exports mix versions up."""
    return next((graph for graph in graphs if graph.version == version), graphs[0])
