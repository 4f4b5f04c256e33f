"""Compiling a graph into tables, and storing them."""

import subprocess
import sys

import pytest

from tests.kernel.driver import Spec, plan_of
from treadle.base.errors import BadInput
from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.kernel.graph import Graph, Link, Node, NodePolicy, RetryPolicy
from treadle.kernel.plan import BlockFacts, Plan, Route, compile_plan, decode_plan

COLLECT = Spec(kind="Collect")


def test_routes_lead_from_every_name_that_a_link_can_select_from() -> None:
    plan = plan_of("s.out x.in\ns.out_#_k_$_0 x.part\ns.other_#_ x.odd")
    assert plan.nodes[0].routes == {
        "out": (Route(1, "in", False, "out"), Route(1, "part", False, "out_#_k_$_0")),
        "out_#_k": (Route(1, "part", False, "out_#_k_$_0"),),
        "out_#_k_$_0": (Route(1, "part", False, "out_#_k_$_0"),),
        "other": (Route(1, "odd", False, "other_#_"),),
        "other_#_": (Route(1, "odd", False, "other_#_"),),
    }
    assert plan.nodes[1].linked == ("in", "part", "odd")


def test_tool_links_are_kept_by_the_node_of_the_tool() -> None:
    plan = plan_of("m.tools x.city\nm.tools_^_old_~_day x.day\nm.tools y.city")
    assert {node: [route.pin for route in routes] for node, routes in plan.nodes[0].tools.items()} == {
        "x": ["city", "day"],
        "y": ["city"],
    }
    assert plan.starts == (0,)


def test_static_pins_are_those_with_a_static_link() -> None:
    plan = plan_of("v.out x.b\nv.out x.a\ns.out x.c\ns.out x.a", v=Spec(static=True))
    assert plan.nodes[plan.index(NodeId("x"))].static == ("b", "a")
    assert plan.nodes[0].routes["out"][0].static


def test_starting_nodes_are_those_without_links_and_every_input() -> None:
    plan = plan_of("s.out i.value\ni.result x.in\nn.out y.in", n=Spec(kind="Note"), c=COLLECT, i=Spec(kind="Input"))
    assert [plan.nodes[index].id for index in plan.starts] == ["i", "s", "y"]
    assert "n" not in {node.id for node in plan.nodes}


def test_collects_are_known_to_all_that_can_reach_them() -> None:
    plan = plan_of("s.out a.item\na.items w.in\nw.out b.item\nt.out x.in", a=COLLECT, b=COLLECT)
    by_id = {node.id: [plan.nodes[index].id for index in node.feeds] for node in plan.nodes}
    assert by_id == {"a": ["b"], "b": [], "s": ["a", "b"], "w": ["b"], "t": [], "x": []}


@pytest.mark.parametrize("links", ["c.items c.item", "c.items w.in\nw.out c.item", "c.items d.item\nd.items c.item"])
def test_a_collect_that_can_reach_itself_is_refused(links: str) -> None:
    with pytest.raises(BadInput, match=r"Collect node [cd] can reach itself"):
        plan_of(links, c=COLLECT, d=COLLECT)


@pytest.mark.parametrize("ends", [("a", "gone"), ("gone", "a")])
def test_a_link_to_nowhere_is_refused(ends: tuple[str, str]) -> None:
    link = Link(NodeId(ends[0]), "out", NodeId(ends[1]), "in")
    graph = Graph(GraphId("g"), 1, (Node(NodeId("a"), BlockId("b")),), (link,))
    with pytest.raises(BadInput, match="names the node gone"):
        compile_plan(graph, lambda block: BlockFacts())


def rich_plan() -> Plan:
    policy = NodePolicy(RetryPolicy(3, 0.5, 9.0, "any"), 60.0, 2, False, "fallback", (("out", {"z": [1]}),), "fail")
    constants = {"zebra": 1, "apple": {"y": None, "b": [2.5, "ü"]}}
    return plan_of(
        "v.out x.in\nm.tools x.city\nx.error c.item",
        x=Spec(constants=constants, policy=policy, loop=("city",)),
        v=Spec(static=True, work="effect"),
        c=COLLECT,
    )


def test_a_plan_that_was_stored_is_the_same() -> None:
    plan = rich_plan()
    stored = decode_plan(plan.body)
    assert stored.body == plan.body
    assert stored.digest == plan.digest
    assert [node.routes for node in stored.nodes] == [node.routes for node in plan.nodes]
    assert (stored.starts, stored.collects) == (plan.starts, plan.collects)
    assert stored.nodes[0].policy.retry == plan.nodes[0].policy.retry


def test_constants_keep_their_order() -> None:
    stored = decode_plan(rich_plan().body)
    assert list(stored.nodes[0].constants) == ["zebra", "apple"]
    assert list(stored.nodes[0].constants["apple"]) == ["y", "b"]


def test_the_digest_is_the_same_in_every_process() -> None:
    program = "from tests.kernel.test_plan import rich_plan; print(rich_plan().digest.hex())"
    seeds = ("0", "1", "2")
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout.strip()
        for seed in seeds
    }
    assert printed == {rich_plan().digest.hex()}


def test_other_constants_give_another_digest() -> None:
    assert plan_of("", x=Spec(constants={"a": 1})).digest != plan_of("", x=Spec(constants={"a": 2})).digest


def test_an_unknown_node_has_no_index() -> None:
    with pytest.raises(KeyError):
        rich_plan().index(NodeId("gone"))


@pytest.mark.parametrize(("on_error", "handled"), [("branch", True), ("fallback", True), ("fail", False)])
def test_an_error_link_counts_unless_the_node_is_to_fail(on_error: str, handled: bool) -> None:
    plan = plan_of("s.error x.in", s=Spec(policy=NodePolicy(on_error=on_error)))  # type: ignore[arg-type]
    assert plan.nodes[0].handles_errors is handled
    assert not plan.nodes[1].handles_errors
