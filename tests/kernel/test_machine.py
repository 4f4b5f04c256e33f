"""Which firings follow in small graphs, rule by rule, with whatever is oldest ending first."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kernel.driver import Driver, Function, Spec, fail, plan_of, relay, send
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
