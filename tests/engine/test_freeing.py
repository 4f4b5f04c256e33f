"""What was run is freed as soon as its worker forgets it: no circle keeps it until the collector comes."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tests.engine.harness import Engine, chain, plan_of, sub_agent, until
from tests.engine.test_sub_agents import with_child
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine.root import Root
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.plan import Plan

AGAIN = NodePolicy(retry=RetryPolicy(attempts=2, on="any", first_delay=0.01))


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is freed but by counting references."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "plan",
    [
        chain("pure", "pure"),
        chain("effect", "effect"),
        chain("effect", "review"),
        plan_of({"bad": "failing"}),
        plan_of({"bad": ("failing", {}, AGAIN)}),
        plan_of({"sub": sub_agent("child", value=1), "out": ("output", {"name": "o"})}, ["sub > out.value"]),
    ],
    ids=["pure", "effects", "waits", "fails", "is tried again", "sub-agent"],
)
@pytest.mark.usefixtures("uncollected")
async def test_a_run_that_is_forgotten_is_freed(plan: Plan, idle: Engine) -> None:
    with_child(idle, "effect")
    worker = await idle.start()
    seen: list[weakref.ref[object]] = []
    hold = worker._hold

    def watched(root: Root) -> None:
        seen.extend((weakref.ref(root), weakref.ref(root.main), weakref.ref(root.main.machine)))
        hold(root)

    worker._hold = watched  # type: ignore[method-assign]
    await idle.finished(await worker.submit(LOCAL_WORKSPACE, plan, {}), resting=True)
    await worker.submit(LOCAL_WORKSPACE, chain("pure"), {})  # another commit: that before is not looked at any more
    kept = seen[:3]
    assert len(kept) == 3
    await until(lambda: all(each() is None for each in kept))
