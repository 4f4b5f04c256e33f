"""What follows from events in an order of their own: ends, streams, retries, reviews, stops, tools, re-runs."""

from typing import Any

import pytest

from tests.kernel.driver import Driver, Spec, plan_of, relay, reloaded, state
from tests.kernel.test_machine import STATIC, items
from treadle.kernel.graph import NodePolicy

# ---- order --------------------------------------------------------------------------------------------------


def three_at_once(**policy: Any) -> Driver:
    plan = plan_of("s.out w.in\nw.out x.in", w=Spec(policy=NodePolicy(**policy)))
    driver = Driver(plan, {"s": items(1, 2, 3), "w": relay()}).begin()
    driver.finish("s")
    return driver


def test_outputs_go_downstream_in_the_order_of_the_firings() -> None:
    driver = three_at_once()
    driver.finish(4)
    driver.finish(3)
    assert driver.of("x") == []
    driver.finish(2)
    assert driver.of("x") == [{"in": 1}, {"in": 2}, {"in": 3}]


def test_a_node_may_give_up_order() -> None:
    driver = three_at_once(ordered=False)
    driver.finish(4)
    assert driver.of("x") == [{"in": 3}]
    driver.run(max)
    assert driver.of("x") == [{"in": 3}, {"in": 2}, {"in": 1}]


def test_a_failure_without_a_link_lets_later_outputs_go() -> None:
    driver = three_at_once()
    driver.finish(3)
    driver.end(2, error="broken")
    assert driver.of("x") == [{"in": 2}]


@pytest.mark.parametrize("kind", ["review", "timer", "event"])
def test_a_suspended_firing_keeps_its_place(kind: str) -> None:
    driver = three_at_once()
    driver.suspend(2, kind, {"ask": 1})
    driver.finish(3)
    driver.finish(4)
    assert driver.of("x") == []
    assert not driver.machine.finished
    assert [firing.number for firing in driver.machine.blocked_firings()] == [2]
    driver.resume(2, {"approved": True})
    driver.finish(2)
    assert driver.of("x") == [{"in": 1}, {"in": 2}, {"in": 3}]
    assert not driver.running.keys() & {2, 3, 4}


def test_a_retry_keeps_its_place_and_counts_attempts() -> None:
    driver = three_at_once()
    driver.feed("start", 2, 1, 0, {})
    driver.retry(2)
    driver.finish(3)
    assert driver.of("x") == []
    driver.resume(2)
    assert (driver.running[2].attempt, driver.running[2].begun) == (2, False)
    driver.finish(2)
    assert driver.of("x") == [{"in": 1}, {"in": 2}]


# ---- caps ---------------------------------------------------------------------------------------------------


def test_no_more_firings_run_than_the_cap_allows() -> None:
    driver = three_at_once(concurrency=2)
    assert sorted(driver.running) == [2, 3]
    driver.finish(3)
    assert sorted(driver.running) == [2, 4]
    driver.run()
    assert driver.of("x") == [{"in": 1}, {"in": 2}, {"in": 3}]


def test_a_suspended_firing_holds_its_slot() -> None:
    driver = three_at_once(concurrency=1)
    driver.suspend(2)
    assert driver.running == {}
    assert not driver.machine.finished
    driver.resume(2, {"approved": True})
    assert sorted(driver.running) == [2]
    driver.run()
    assert driver.of("x") == [{"in": 1}, {"in": 2}, {"in": 3}]


def test_after_a_replay_only_what_is_within_the_cap_starts() -> None:
    driver = three_at_once(concurrency=2)
    assert [firing.number for firing in driver.machine.startable()] == [2, 3]


# ---- streams ------------------------------------------------------------------------------------------------


def test_a_stream_flows_at_once_when_it_is_first_and_is_held_when_it_is_not() -> None:
    driver = three_at_once()
    driver.send(2, "out", "2a")
    driver.send(3, "out", "3a")
    assert driver.of("x") == [{"in": "2a"}]
    driver.end(2, ("out", "2b"))
    assert driver.of("x") == [{"in": "2a"}, {"in": "2b"}, {"in": "3a"}]
    driver.send(3, "out", "3b")
    driver.end(4, ("out", "4a"))
    driver.end(3)
    assert [each["in"] for each in driver.of("x")] == ["2a", "2b", "3a", "3b", "4a"]


def test_an_unordered_stream_flows_as_it_comes() -> None:
    driver = three_at_once(ordered=False)
    driver.send(4, "out", "4a")
    driver.send(2, "out", "2a")
    assert [each["in"] for each in driver.of("x")] == ["4a", "2a"]


def test_causes_number_the_outputs_of_a_firing_over_streamed_and_final_ones() -> None:
    driver = three_at_once()
    driver.send(2, "out", "a")
    driver.send(2, "unlinked", "b")
    driver.end(2, ("out", "c"), error="broken")
    assert [each.causes for each in driver.fired.values() if each.node == "x"] == [((2, 0),), ((2, 2),)]


# ---- Collect ------------------------------------------------------------------------------------------------


def gathering(**policy: Any) -> Driver:
    plan = plan_of("s.out w.in\nw.out c.item", w=Spec(policy=NodePolicy(**policy)), c=Spec(kind="Collect"))
    driver = Driver(plan, {"s": items(1, 2), "w": relay()}).begin()
    driver.finish("s")
    return driver


def test_collect_waits_for_a_retry() -> None:
    driver = gathering()
    driver.finish(3)
    driver.retry(2)
    assert driver.of("c") == []
    driver.resume(2)
    driver.finish(2)
    assert driver.of("c") == [{"item": [1, 2]}]


def test_collect_waits_for_a_review() -> None:
    driver = gathering()
    driver.suspend(3)
    driver.finish(2)
    assert driver.of("c") == []
    driver.resume(3, {"approved": False})
    driver.end(3, error="Not approved.")
    assert driver.of("c") == [{"item": [1]}]


def test_collect_waits_for_what_is_held_for_order_and_what_has_not_started() -> None:
    driver = gathering(concurrency=1)
    assert sorted(driver.running) == [2]
    driver.finish(2)
    assert driver.of("c") == []
    driver.finish(3)
    assert driver.of("c") == [{"item": [1, 2]}]
    held = gathering()
    held.finish(3)
    assert held.of("c") == []
    held.finish(2)
    assert held.of("c") == [{"item": [1, 2]}]


def test_collect_waits_for_an_open_stream() -> None:
    driver = gathering()
    driver.send(2, "out", "a")
    driver.finish(3)
    assert driver.of("c") == []
    driver.end(2)
    assert driver.of("c") == [{"item": ["a", 2]}]


def test_collect_does_not_wait_for_what_cannot_reach_it() -> None:
    driver = Driver(plan_of("s.out c.item\nt.out x.in", c=Spec(kind="Collect")), {"s": items(1)}).begin()
    driver.finish("s")
    assert driver.of("c") == [{"item": [1]}]
    assert [driver.plan.nodes[firing.node].id for firing in driver.running.values()] == ["t", "c"]


# ---- reviews, stop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "approved"),
    [
        ({"approved": True, "always": True}, True),
        ({"approved": False, "always": True}, False),
        ({"approved": True}, False),
    ],
)
def test_approval_may_hold_for_later_firings(decision: dict[str, Any], approved: bool) -> None:
    driver = three_at_once()
    driver.suspend(2)
    driver.resume(2, decision)
    assert (driver.running[2].node in driver.machine.approved) is approved
    assert driver.running[2].decision == decision


def test_nothing_starts_after_a_stop() -> None:
    driver = three_at_once(concurrency=1)
    driver.feed("stop", "enough", 0)
    assert driver.machine.finished
    assert driver.machine.stop_reason == "enough"
    assert driver.running == {}
    assert not driver.machine.startable()
    assert state(reloaded(driver.machine)) == state(driver.machine)


def test_what_is_held_for_order_is_in_a_snapshot() -> None:
    driver = three_at_once()
    driver.send(3, "out", "3a")
    driver.finish(4)
    driver.machine = reloaded(driver.machine)
    driver.finish(2)
    driver.end(3)
    assert [each["in"] for each in driver.of("x")] == [1, "3a", 3]


# ---- tools --------------------------------------------------------------------------------------------------


def calling(**policy: Any) -> Driver:
    plan = plan_of(
        "m.tools t.city\nv.out t.key\nt.out x.in\nt.error x.in",
        m=Spec(),
        v=STATIC,
        t=Spec(constants={"unit": "C"}, policy=NodePolicy(**policy)),
    )
    driver = Driver(plan, {"v": items("secret")}).begin()
    driver.finish("v")
    return driver


def test_a_tool_fires_with_its_arguments_constants_and_statics_and_answers_its_caller_only() -> None:
    driver = calling()
    tool = driver.call("m", 0, "t", city="Bonn")
    assert driver.fired[tool].inputs == {"unit": "C", "key": "secret", "city": "Bonn"}
    driver.end(tool, ("out", 20), ("extra", 1))
    assert driver.machine.tool_results == {tool: [("out", 20), ("extra", 1)]}
    assert driver.machine.tool_calls == {(1, 0): tool}
    assert driver.of("x") == []
    driver.end("m")
    assert (driver.machine.tool_results, driver.machine.tool_calls) == ({}, {})
    assert driver.machine.finished


def test_a_streaming_tool_answers_its_caller_with_all_that_it_sent() -> None:
    driver = calling(ordered=False)
    tool = driver.call("m", 0, "t", city="Bonn")
    driver.send(tool, "out", 1)
    driver.send(tool, "out", 2)
    driver.end(tool, ("out", 3), error="broken")
    assert driver.machine.tool_results == {tool: [("out", 1), ("out", 2), ("out", 3), ("error", "broken")]}
    assert driver.of("x") == []
    assert driver.machine.failed == 0


def test_a_streaming_tool_of_an_ordered_node_that_runs_nothing_else() -> None:
    driver = calling()
    tool = driver.call("m", 0, "t", city="Bonn")
    driver.send(tool, "out", 1)
    driver.end(tool)
    assert driver.machine.tool_results == {tool: [("out", 1)]}


def test_a_tool_falls_back_as_its_node_says() -> None:
    driver = calling(on_error="fallback", fallback=(("out", "no idea"),))
    tool = driver.call("m", 0, "t", city="Bonn")
    driver.end(tool, error="broken")
    assert driver.machine.tool_results == {tool: [("out", "no idea")]}


def test_a_tool_may_call_tools_and_nothing_of_them_stays() -> None:
    driver = calling()
    outer = driver.call("m", 0, "t", city="Bonn")
    inner = driver.call(outer, 0, "t", city="Ulm")
    driver.end(inner, ("out", 1))
    driver.end(outer, ("out", 2))
    assert driver.machine.tool_results == {outer: [("out", 2)]}
    driver.end("m")
    assert (driver.machine.tool_results, driver.machine.tool_calls) == ({}, {})


def test_a_tool_that_ends_after_its_caller_leaves_nothing_behind() -> None:
    driver = calling()
    tool = driver.call("m", 0, "t", city="Bonn")
    driver.end("m")
    assert driver.machine.busy == 1
    driver.end(tool, ("out", 1))
    assert driver.machine.finished
    assert driver.machine.tool_results == {}


# ---- re-run -------------------------------------------------------------------------------------------------


def test_kept_firings_are_not_run_again_and_edits_reach_only_the_chosen_node() -> None:
    plan = plan_of("s.out x.in\ns.out y.in")
    driver = Driver(plan)
    driver.feed("begin", 0, {}, True, {})
    driver.feed("keep", 0, [], [("out", 1), ("out", 2)], "", 1)
    driver.feed("keep", 1, [(1, 1)], [], "", 4)
    assert driver.trace == []
    driver.feed("open", [[2, [(1, 0)], {"in": "edited"}]])
    assert driver.trace == [("x", {"in": 1}), ("y", {"in": "edited"}), ("y", {"in": 2})]


def test_a_kept_collect_without_arrivals_still_feeds_what_follows() -> None:
    plan = plan_of("c.items x.in", c=Spec(kind="Collect"), s=Spec())
    driver = Driver(plan)
    driver.feed("begin", 0, {}, True, {})
    driver.feed("keep", 0, [], [("items", [])], "", 1)
    driver.feed("open", [])
    assert driver.trace == [("s", {}), ("x", {"in": []})]
    driver.run()
    assert driver.machine.finished


def test_a_collect_waits_for_what_runs_again() -> None:
    plan = plan_of("s.out c.item\nt.out c.item", c=Spec(kind="Collect"))
    driver = Driver(plan, {"t": items(2)})
    driver.feed("begin", 0, {}, True, {})
    driver.feed("keep", 1, [], [("out", 1)], "", 1)
    driver.feed("open", [])
    assert driver.trace == [("t", {})]
    driver.run()
    assert driver.of("c") == [{"item": [1, 2]}]
