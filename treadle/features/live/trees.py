"""A root of which something is watched: the executions of it, and those who watch whatever it runs."""

from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.features.live.viewer import Subscription


class Tree:
    """A root with the watched ones among its executions."""

    def __init__(self, workspace: WorkspaceId, id: ExecutionId, here: bool) -> None:
        self.workspace = workspace
        self.id = id
        self.here = here
        """Whether this process holds it, and is told of every commit."""
        self.executions: dict[ExecutionId, None] = {}
        self.families: dict[Subscription, None] = {}
        """Those who watch sub-agents, too, also ones that do not exist yet."""
