"""Which firings follow from which events: a table of small graphs, then what needs events by hand."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kernel.driver import Driver, Function, Spec, fail, plan_of, relay, reloaded, send, state
from treadle.kernel.graph import NodePolicy

Trace = list[tuple[str, dict[str, Any]]]
STATIC = Spec(static=True)


@dataclass(frozen=True)
class Case:
    """A graph, run with whatever is oldest ending first."""

    rule: str
    links: str
    functions: dict[str, Function]
    trace: Trace
    """Node and inputs of every firing, in order."""
    specs: dict[str, Spec] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    leftovers: list[tuple[str, list[str], int]] = field(default_factory=list)
    outputs: list[tuple[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def items(*values: Any, pin: str = "out") -> Function:
    return send(*[(pin, value) for value in values])


def down_to_zero(inputs: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("more", inputs["in"] - 1) if inputs["in"] > 0 else ("done", inputs["in"])]


CASES = [
    Case(
        "each value goes down every link whose source name matches, in the order of the links",
        "s.out a.in\ns.out b.in\ns.other b.in",
        {"s": send(("out", 1), ("nobody", 2), ("other", 3))},
        [("s", {}), ("a", {"in": 1}), ("b", {"in": 1}), ("b", {"in": 3})],
    ),
    Case(
        "values of different pins are zipped in arrival order",
        "s.out j.left\nt.out j.right",
        {"s": items(1, 2, 3), "t": items("a", "b")},
        [("s", {}), ("t", {}), ("j", {"left": 1, "right": "a"}), ("j", {"left": 2, "right": "b"})],
        leftovers=[("j", ["right"], 1)],
    ),
    Case(
        "several links into one pin queue up in arrival order",
        "s.out j.in\nt.out j.in",
        {"s": items(1, 2), "t": items(3)},
        [("s", {}), ("t", {}), ("j", {"in": 1}), ("j", {"in": 2}), ("j", {"in": 3})],
    ),
    Case(
        "the same output linked twice to one pin arrives twice",
        "s.out j.in\ns.out j.in",
        {"s": items(1)},
        [("s", {}), ("j", {"in": 1}), ("j", {"in": 1})],
    ),
    Case(
        "one output on two pins of a node makes one set",
        "s.out j.left\ns.out j.right",
        {"s": items(1, 2)},
        [("s", {}), ("j", {"left": 1, "right": 1}), ("j", {"left": 2, "right": 2})],
    ),
    Case(
        "a static value that came before is used for every set and not consumed",
        "v.out j.key\ns.out j.in",
        {"v": items("k"), "s": items(1, 2, 3)},
        [("v", {}), ("s", {}), *[("j", {"key": "k", "in": each}) for each in (1, 2, 3)]],
        specs={"v": STATIC},
    ),
    Case(
        "sets that waited for a static value are completed by it",
        "s.out j.in\nv.out j.key",
        {"v": items("k"), "s": items(1, 2, 3)},
        [("s", {}), ("v", {}), *[("j", {"in": each, "key": "k"}) for each in (1, 2, 3)]],
        specs={"s": Spec(), "v": STATIC},
    ),
    Case(
        "static arrivals join sets as others do: the second fills no set that is gone, and is no leftover",
        "s.out j.in\nv.out j.key",
        {"v": items("k", "l"), "s": items(1, 2, 3)},
        [("s", {}), ("v", {}), *[("j", {"in": each, "key": "k"}) for each in (1, 2, 3)]],
        specs={"s": Spec(), "v": STATIC},
    ),
    Case(
        "static values that came before are taken one each, the last one for all further sets",
        "v.out j.key\ns.out j.in",
        {"v": items("k", "l"), "s": items(1, 2, 3)},
        [
            ("v", {}),
            ("s", {}),
            ("j", {"key": "k", "in": 1}),
            ("j", {"key": "l", "in": 2}),
            ("j", {"key": "l", "in": 3}),
        ],
        specs={"v": STATIC},
    ),
    Case(
        "a node whose links are all static fires once per set, not for ever",
        "v.out j.left\nw.out j.right",
        {"v": items(1), "w": items(2)},
        [("v", {}), ("w", {}), ("j", {"left": 1, "right": 2})],
        specs={"v": STATIC, "w": STATIC},
    ),
    Case(
        "with two static links a later value of one is completed by the latest of the other",
        "v.out j.left\nw.out j.right",
        {"v": items(1, 2), "w": items("a", "b", "c")},
        [
            ("v", {}),
            ("w", {}),
            ("j", {"left": 1, "right": "a"}),
            ("j", {"left": 2, "right": "a"}),
            ("j", {"left": 2, "right": "b"}),
            ("j", {"left": 2, "right": "c"}),
        ],
        specs={"v": STATIC, "w": STATIC},
    ),
    Case(
        "a set waits for the one of two statics that never comes",
        "s.out j.in\nv.out j.key\nw.out j.salt",
        {"s": items(1, 2), "v": items("k"), "w": send()},
        [("s", {}), ("v", {}), ("w", {})],
        specs={"s": Spec(), "v": STATIC, "w": STATIC},
        leftovers=[("j", ["salt"], 3)],
    ),
    Case(
        "sets that hold static values only are not counted",
        "v.out j.key\ns.out j.in",
        {"v": items(1, 2, 3), "s": send()},
        [("v", {}), ("s", {})],
        specs={"v": STATIC},
    ),
    Case(
        "static values beyond the sets that wait are not counted",
        "v.out j.key\ns.out j.in\nt.out j.other",
        {"v": items(1, 2, 3), "s": items("a"), "t": send()},
        [("v", {}), ("s", {}), ("t", {})],
        specs={"v": STATIC},
        leftovers=[("j", ["other"], 2)],
    ),
    Case(
        "constants fill pins, a linked value overrides one",
        "s.out j.in",
        {"s": items(1)},
        [("s", {"in": 5}), ("j", {"in": 1, "how": "fast"})],
        specs={"s": Spec(constants={"in": 5}), "j": Spec(constants={"in": 0, "how": "fast"})},
    ),
    Case(
        "cycles are legal",
        "s.out c.in\nc.more c.in\nc.done o.value",
        {"s": items(2), "c": down_to_zero},
        [("s", {}), ("c", {"in": 2}), ("c", {"in": 1}), ("c", {"in": 0}), ("o", {"value": 0})],
    ),
    Case(
        "through loop pins a node's own results come back, on all that are linked or on none",
        "v.out m.prompt\nm.tool t.in\nt.out m.last\nm.talk m.history",
        {
            "v": items("p"),
            "m": lambda inputs: [("talk", ["p"]), ("tool", 1)] if "last" not in inputs else [],
            "t": relay(),
        },
        [
            ("v", {}),
            ("m", {"prompt": "p"}),
            ("t", {"in": 1}),
            ("m", {"prompt": "p", "history": ["p"], "last": 1}),
        ],
        specs={"v": STATIC, "m": Spec(loop=("history", "last"))},
    ),
    Case(
        "dynamic names on a source select inside the value; a path that is not there does not fire",
        "s.out_#_a x.in\ns.out_$_1 x.in\ns.out_#_n x.in\ns.out_#_a_$_0 y.in",
        {"s": items({"a": [7, 8], "n": None}, ["p", "q"])},
        [("s", {}), ("x", {"in": [7, 8]}), ("y", {"in": 7}), ("x", {"in": "q"})],
    ),
    Case(
        "an emission on a name with a delimiter reaches links of that name and those that select inside it",
        "s.price_$_usd x.in\ns.price_$_usd_#_net y.in\ns.price z.in",
        {"s": send(("price_$_usd", {"net": 3}))},
        [("s", {}), ("x", {"in": {"net": 3}}), ("y", {"in": 3})],
    ),
    Case(
        "dynamic names on a sink are pins of their own, zipped like others",
        "s.out d.values_#_a\nt.out d.values_#_b",
        {"s": items(1, 2), "t": items(3)},
        [("s", {}), ("t", {}), ("d", {"values_#_a": 1, "values_#_b": 3})],
        leftovers=[("d", ["values_#_b"], 1)],
    ),
    Case(
        "a null on a whole pin is a value",
        "s.out x.in",
        {"s": items(None)},
        [("s", {}), ("x", {"in": None})],
    ),
    Case(
        "a value on a tool's pin goes to exactly that pin of that node",
        "m.tools x.city\nm.tools x.day\nm.tools y.city",
        {
            "m": send(
                ("tools_^_x_~_city", "Bonn"), ("tools_^_z_~_city", 0), ("tools_^_x_~_no", 0), ("tools_^_x_~_day", 1)
            )
        },
        [("m", {}), ("x", {"city": "Bonn", "day": 1})],
    ),
    Case(
        "a block may also have a plain output named tools",
        "m.tools x.in",
        {"m": items(1, pin="tools")},
        [("m", {}), ("x", {"in": 1})],
    ),
    Case(
        "with an error link the run goes on along it; what was sent before the failure flows first",
        "s.out x.in\ns.error e.in",
        {"s": fail("broken", ("out", 1))},
        [("s", {}), ("x", {"in": 1}), ("e", {"in": "broken"})],
    ),
    Case(
        "without an error link the rest still runs, and the failure is kept",
        "s.out x.in\nt.out y.in",
        {"s": fail("broken", ("out", 1)), "t": items(2)},
        [("s", {}), ("t", {}), ("x", {"in": 1}), ("y", {"in": 2})],
        failures=[("s", "broken")],
    ),
    Case(
        "an error link that selects inside the message takes no failure",
        "s.error_#_code e.in",
        {"s": fail("broken")},
        [("s", {})],
        failures=[("s", "broken")],
    ),
    Case(
        "on_error fail: a failure stays one despite the link",
        "s.error e.in",
        {"s": fail("broken")},
        [("s", {})],
        specs={"s": Spec(policy=NodePolicy(on_error="fail"))},
        failures=[("s", "broken")],
    ),
    Case(
        "on_error fallback: the fallback is sent instead of what the block sent",
        "s.out x.in\ns.error e.in",
        {"s": fail("broken", ("out", 1))},
        [("s", {}), ("x", {"in": "plan B"})],
        specs={"s": Spec(policy=NodePolicy(on_error="fallback", fallback=(("out", "plan B"),)))},
    ),
    Case(
        "notes never run, and links to and from them are nothing",
        "s.out n.text\ns.out x.in",
        {"s": items(1), "n": items(2)},
        [("s", {}), ("x", {"in": 1})],
        specs={"n": Spec(kind="Note"), "s": Spec()},
    ),
    Case(
        "input nodes start with the run's inputs, also when they have links",
        "s.out i.value\ni.result x.in",
        {"s": items(9), "i": relay("value", "result")},
        [
            ("s", {}),
            ("i", {"name": "q", "value": 4}),
            ("i", {"name": "q", "value": 9}),
            ("x", {"in": 4}),
            ("x", {"in": 9}),
        ],
        specs={"s": Spec(), "i": Spec(kind="Input", static=True, constants={"name": "q"})},
        inputs={"i": {"value": 4}},
    ),
    Case(
        "output nodes give the run's outputs by name",
        "s.out o.value",
        {"s": items(1, 2), "o": lambda inputs: [("output", inputs["value"]), ("name", inputs["name"])]},
        [("s", {}), ("o", {"name": "y", "value": 1}), ("o", {"name": "y", "value": 2})],
        specs={"s": Spec(), "o": Spec(kind="Output", constants={"name": "y"})},
        outputs=[("y", 1), ("y", 2)],
    ),
    Case(
        "Collect gathers everything and fires once",
        "s.out w.in\nw.out c.item\nc.items o.value",
        {"s": items(1, 2, 3), "w": relay(), "c": relay("item", "items")},
        [
            ("s", {}),
            *[("w", {"in": each}) for each in (1, 2, 3)],
            ("c", {"item": [1, 2, 3]}),
            ("o", {"value": [1, 2, 3]}),
        ],
        specs={"c": Spec(kind="Collect")},
    ),
    Case(
        "Collect fires with an empty list if nothing came",
        "s.out c.item",
        {},
        [("s", {}), ("c", {"item": []})],
        specs={"c": Spec(kind="Collect")},
    ),
    Case(
        "Collect fires even if what feeds it can never fire or fails",
        "s.out j.left\nt.out j.right\nj.out c.item\nf.out c.item",
        {"s": items(1), "f": fail("broken")},
        [("s", {}), ("t", {}), ("f", {}), ("c", {"item": []})],
        specs={"c": Spec(kind="Collect")},
        leftovers=[("j", ["right"], 1)],
        failures=[("f", "broken")],
    ),
    Case(
        "a Collect waits for an upstream Collect",
        "s.out a.item\na.items w.in\nw.out b.item",
        {"s": items(1, 2), "a": relay("item", "items"), "w": relay()},
        [("s", {}), ("a", {"item": [1, 2]}), ("w", {"in": [1, 2]}), ("b", {"item": [[1, 2]]})],
        specs={"a": Spec(kind="Collect"), "b": Spec(kind="Collect")},
    ),
    Case(
        "a Collect without links fires at the start; two that are quiet at once fire in their order",
        "s.out x.in",
        {},
        [("s", {}), ("a", {"item": []}), ("b", {"item": []})],
        specs={"a": Spec(kind="Collect"), "b": Spec(kind="Collect")},
    ),
    Case(
        "a Collect after a loop waits for the loop",
        "s.out c.in\nc.more c.in\nc.more g.item\nc.done g.item",
        {"s": items(2), "c": down_to_zero},
        [("s", {}), ("c", {"in": 2}), ("c", {"in": 1}), ("c", {"in": 0}), ("g", {"item": [1, 0, 0]})],
        specs={"g": Spec(kind="Collect")},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_graph(case: Case) -> None:
    driver = Driver(plan_of(case.links, **case.specs), case.functions).begin(**case.inputs).run()
    assert driver.trace == case.trace
    assert driver.leftovers == case.leftovers
    assert driver.machine.outputs == case.outputs
    assert [(driver.plan.nodes[node].id, text) for _, node, text in driver.machine.failures] == case.failures
    assert driver.machine.failed == len(case.failures)
    assert driver.machine.finished


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
