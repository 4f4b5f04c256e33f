"""What runs at once stays within both limits, and everybody gets a turn."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from treadle.base.ids import LOCAL_WORKSPACE, GraphId, WorkspaceId
from treadle.engine.crowd import Crowd

OTHER = WorkspaceId(UUID(int=7))


class Watch:
    """Starts attempts through a crowd, and knows which run."""

    def __init__(self, per_agent: int, per_workspace: int) -> None:
        self.crowd = Crowd(per_agent, per_workspace)
        self.running: list[tuple[WorkspaceId, GraphId]] = []
        self.started = 0

    def enter(self, workspace: WorkspaceId, agent: str, wanted: bool = True) -> None:
        def start() -> bool:
            if wanted:
                self.running.append((workspace, GraphId(agent)))
                self.started += 1
            return wanted

        self.crowd.enter(workspace, GraphId(agent), start)

    def end(self, index: int) -> None:
        self.crowd.leave(*self.running.pop(index % len(self.running)))


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.sampled_from((LOCAL_WORKSPACE, OTHER)), st.sampled_from("abc"), st.booleans(), st.booleans())
    ),
)
def test_limits_hold_and_everybody_starts(
    per_agent: int, per_workspace: int, steps: list[tuple[WorkspaceId, str, bool, bool]]
) -> None:
    watch = Watch(per_agent, per_workspace)
    for number, (workspace, agent, wanted, ends) in enumerate(steps):
        watch.enter(workspace, agent, wanted)
        for who in {place for place, _ in watch.running}:
            assert sum(place == who for place, _ in watch.running) <= per_workspace
        assert all(watch.running.count(each) <= per_agent for each in watch.running)
        if ends and watch.running:
            watch.end(number)
    while watch.running:
        watch.end(0)
    assert watch.started == sum(wanted for _, _, wanted, _ in steps)


def test_agents_of_a_workspace_take_turns_and_others_are_not_touched() -> None:
    watch = Watch(10, 1)
    for agent in ("a", "a", "a", "b"):
        watch.enter(LOCAL_WORKSPACE, agent)
    watch.enter(OTHER, "c")
    assert watch.running == [(LOCAL_WORKSPACE, "a"), (OTHER, "c")]
    order = []
    for _ in range(3):
        watch.end(watch.running.index(next(each for each in watch.running if each[0] == LOCAL_WORKSPACE)))
        order.append(watch.running[-1][1])
    assert order == ["a", "b", "a"]


def test_who_waits_inside_makes_room_and_comes_back_at_once() -> None:
    watch = Watch(1, 1)
    watch.enter(LOCAL_WORKSPACE, "parent")
    watch.enter(LOCAL_WORKSPACE, "child")
    assert len(watch.running) == 1
    watch.crowd.step_aside(LOCAL_WORKSPACE, GraphId("parent"))
    assert watch.running[-1][1] == "child"
    watch.crowd.step_back(LOCAL_WORKSPACE, GraphId("parent"))
    watch.end(1)
    watch.end(0)
    watch.enter(LOCAL_WORKSPACE, "next")
    assert watch.running == [(LOCAL_WORKSPACE, "next")]
