"""What models took is counted for every attempt, also for those that failed or waited, and adds up the same anew."""

import pytest

from tests.engine.harness import Engine, plan_of, rebuilt
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine.view import History
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.states import Status

POLICY = NodePolicy(retry=RetryPolicy(attempts=3, first_delay=0.01))


@pytest.mark.parametrize(("failures", "value", "calls"), [(0, "x", 1), (2, "x", 3), (0, "ask", 2), (1, "ask", 3)])
async def test_every_attempt_is_counted(engine: Engine, failures: int, value: str, calls: int) -> None:
    plan = plan_of({"use": ("using", {"value": value}, POLICY), "other": ("pure", {"value": 1})})
    engine.calls.failures["use"] = failures
    id = await engine.worker.submit(LOCAL_WORKSPACE, plan, {})
    row = await engine.finished(id, resting=True)
    if row.status is Status.REVIEW:
        payload = {"approved": True}
        await engine.worker.store.tell(LOCAL_WORKSPACE, id, "decision", "d", firing=1, payload=payload)
        row = await engine.finished(id)
    assert row.status is Status.COMPLETED
    took = row.nodes["use"]
    assert took[:2] == [1, 0]
    assert took[4:] == [7 * calls, 5 * calls, 2 * calls, calls, 250_000 * calls]
    assert len(row.nodes["other"]) == 4, "what uses nothing is written as little as before"
    records = await engine.records(row)
    assert rebuilt(plan, records, row)["nodes"] == row.nodes
    (firing, _) = History(plan, lambda _: frozenset()).fold(records).finish()
    assert (firing.usage["tokens"], firing.usage["calls"], firing.usage["usd"]) == (7 * calls, calls, 0.25 * calls)
