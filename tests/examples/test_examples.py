"""The agents in ``examples/`` run on a fresh install, with no input, and give exactly this."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.platforms import fresh_platform, outputs_of, run_file
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.engine.store import ExecutionRow
from treadle.features.executions.reviews import Decision
from treadle.kernel.states import Status
from treadle.main.wiring import Platform

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.asyncio(loop_scope="module")

REPORT = """# Sales by region

| Region | Sales | Total | Best product |
|---|---:|---:|---|
| North | 3 | 1377.90 | Standing desk |
| South | 2 | 1248.00 | Standing desk |
| West | 3 | 608.80 | Office chair |
| **All** | 8 | 3234.70 | |

Left out: 3 rows without an amount, 2 rows that came twice."""

PLAN = """# Savings plan

You have **10104.37** after **34 months**: 9500.00 paid in and 604.37 interest.

| After year | Paid in | Balance |
|---:|---:|---:|
| 1 | 4000.00 | 4096.37 |
| 2 | 7000.00 | 7318.88 |
"""

DRAFT = """# What happened in March

Hello everybody, here is what is new.

## The new workshop is open

Come and see it: every Tuesday from 9 to 12.

## A record month

We repaired 214 bicycles, more than ever before.
"""

NEWSLETTER = f"{DRAFT}\n---\nYou get this because you asked for it. To stop, answer with STOP."

RANKING = """| Rank | Score | Headline | Why |
|---:|---:|---|---|
| 1 | 4 | Seven ways to keep your bicycle safe in the city | good length, has a number, speaks to the reader, \
fits a search result |
| 2 | 3 | Is your lock strong enough? | asks a question, speaks to the reader, fits a search result |
| 3 | 3 | Why 3 in 4 riders never oil the chain | good length, has a number, fits a search result |
| 4 | 1 | Bicycles | fits a search result |
| 5 | 0 | The history of the pedal, the crank and the chain, from the earliest known sketches to the workshops of \
today | nothing stands out |
"""

ACTIONS = """# Action items

**Ana**
- [ ] send the price list to the dealers by Friday
- [ ] call the insurance

**Bo**
- [ ] order a new axle

**Chris**
- [ ] book the room for the course by 20 March

"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform() -> AsyncIterator[Platform]:
    async with fresh_platform() as running:
        yield running


async def run(platform: Platform, name: str, **inputs: Any) -> ExecutionRow:
    """A run of an example that nothing is left over from."""
    row = await run_file(platform, EXAMPLES / f"{name}.json", inputs)
    assert row.error is None and row.failures == [] and row.warnings == []
    return row


async def test_sales_report(platform: Platform) -> None:
    row = await run(platform, "sales-report")
    assert row.status is Status.COMPLETED and outputs_of(row) == {"report": REPORT}


async def test_sales_report_of_ones_own_table(platform: Platform) -> None:
    row = await run(platform, "sales-report", sales_csv="region,product,amount\nEast,Lamp,10\nEast,Lamp,10\nEast,Bed,5")
    report = outputs_of(row)["report"]
    assert "| East | 2 | 15.00 | Lamp |" in report
    assert report.endswith("Left out: 0 rows without an amount, 1 rows that came twice.")


async def test_savings_plan(platform: Platform) -> None:
    row = await run(platform, "savings-plan")
    assert row.status is Status.COMPLETED and outputs_of(row) == {"plan": PLAN, "months": 34}


async def test_savings_plan_of_somebody_who_has_the_money(platform: Platform) -> None:
    assert outputs_of(await run(platform, "savings-plan", savings=500, goal=500))["months"] == 0


async def test_savings_plan_that_never_gets_there(platform: Platform) -> None:
    row = await run_file(platform, EXAMPLES / "savings-plan.json", {"monthly": 0, "yearly_percent": 0})
    assert row.status is Status.FAILED
    assert "the goal is not reached within 100 years" in (row.error or "")


async def waiting_review(platform: Platform) -> tuple[ExecutionRow, int]:
    """The newsletter's run at the point where it waits for a person, and the firing that waits."""
    row = await run(platform, "newsletter-approval")
    assert row.status is Status.REVIEW
    [review] = await platform.executions.reviews.of_run(LOCAL_WORKSPACE, row.id, only_waiting=True)
    assert review.payload["data"] == DRAFT and review.payload["message"] == "Newsletter: may it go out?"
    return row, review.firing


async def decided(platform: Platform, row: ExecutionRow, firing: int, **decision: Any) -> dict[str, Any]:
    """The outputs once a person has decided."""
    await platform.executions.reviews.decide(LOCAL_WORKSPACE, Decision(row.id, firing, **decision))
    over = await platform.worker.finished(LOCAL_WORKSPACE, row.id)
    assert over.status is Status.COMPLETED and over.warnings == []
    return outputs_of(over)


async def test_newsletter_approved(platform: Platform) -> None:
    row, firing = await waiting_review(platform)
    outputs = await decided(platform, row, firing, approved=True)
    assert outputs == {"newsletter": NEWSLETTER, "words": len(NEWSLETTER.split())}


async def test_newsletter_changed_and_approved(platform: Platform) -> None:
    row, firing = await waiting_review(platform)
    outputs = await decided(platform, row, firing, approved=True, data="Short and good.", message="Shorter.")
    assert outputs["newsletter"].startswith("Short and good.\n---\n")
    assert outputs["comment"] == "Shorter."


async def test_newsletter_rejected(platform: Platform) -> None:
    row, firing = await waiting_review(platform)
    outputs = await decided(platform, row, firing, approved=False, message="Not this month.")
    assert outputs == {"not_sent": f"Not sent. The draft had {len(DRAFT)} characters.", "comment": "Not this month."}


async def test_headline_scores(platform: Platform) -> None:
    row = await run(platform, "headline-scores")
    assert row.status is Status.COMPLETED
    assert outputs_of(row) == {"best": "Seven ways to keep your bicycle safe in the city", "ranking": RANKING}
    children = [each for each in await platform.store.tree([row.id]) if each.parent_id == row.id]
    assert [each.status for each in children] == [Status.COMPLETED] * 5


async def test_action_items_are_found_and_counted_across_runs(platform: Platform) -> None:
    first = outputs_of(await run(platform, "action-items"))
    assert first["action_items"] == ACTIONS and first["seen_in_all"] == 4
    assert first["table"][0] == {
        "owner": "Ana",
        "task": "send the price list to the dealers by Friday",
        "due": "Friday",
    }
    second = outputs_of(await run(platform, "action-items", notes="TODO: water the plants"))
    assert second["seen_in_all"] == 5
    assert second["table"] == [{"owner": "nobody yet", "task": "water the plants", "due": ""}]
    third = outputs_of(await run(platform, "action-items", notes="We only talked."))
    assert third["seen_in_all"] == 5 and third["table"] == []
