"""How many attempts run at once in this process: of one agent, and of all agents of one workspace."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from treadle.base.ids import GraphId, WorkspaceId

Start = Callable[[], bool]
"""Begins an attempt; False when it is not wanted any more."""


class Crowd:
    """Attempts above a limit wait in line, agents of a workspace in turns.

    An attempt that only waits for a sub-agent or a tool does not count (``step_aside``), so that those who wait never
    keep out those they wait for.
    """

    def __init__(self, per_agent: int, per_workspace: int) -> None:
        self._per_agent = per_agent
        self._per_workspace = per_workspace
        self._agents: Counter[tuple[WorkspaceId, GraphId]] = Counter()
        self._workspaces: Counter[WorkspaceId] = Counter()
        self._lines: dict[WorkspaceId, OrderedDict[GraphId, deque[Start]]] = {}

    def enter(self, workspace: WorkspaceId, agent: GraphId, start: Start) -> None:
        """Call ``start`` now, or when there is room."""
        if self._has_room(workspace, agent):
            self.step_back(workspace, agent)
            if not start():
                self.leave(workspace, agent)
        else:
            self._lines.setdefault(workspace, OrderedDict()).setdefault(agent, deque()).append(start)

    def leave(self, workspace: WorkspaceId, agent: GraphId) -> None:
        """An attempt that was started is over."""
        self.step_aside(workspace, agent)

    def step_aside(self, workspace: WorkspaceId, agent: GraphId) -> None:
        """An attempt does not count for now; whoever waits may take its room."""
        self._agents[workspace, agent] -= 1
        self._workspaces[workspace] -= 1
        if workspace in self._lines:
            self._call_next(workspace)

    def step_back(self, workspace: WorkspaceId, agent: GraphId) -> None:
        """It counts again; it is not kept waiting for that, even when there are others now."""
        self._agents[workspace, agent] += 1
        self._workspaces[workspace] += 1

    def _has_room(self, workspace: WorkspaceId, agent: GraphId) -> bool:
        return self._workspaces[workspace] < self._per_workspace and self._agents[workspace, agent] < self._per_agent

    def _call_next(self, workspace: WorkspaceId) -> None:
        lines = self._lines[workspace]
        while (agent := next((each for each in lines if self._has_room(workspace, each)), None)) is not None:
            start = lines[agent].popleft()
            if lines[agent]:
                lines.move_to_end(agent)
            else:
                del lines[agent]
            self.step_back(workspace, agent)
            if start():
                continue
            self._agents[workspace, agent] -= 1
            self._workspaces[workspace] -= 1
        if not lines:
            self._lines.pop(workspace, None)
