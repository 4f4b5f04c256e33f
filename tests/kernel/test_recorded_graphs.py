"""The recorded small graphs of the reference, run through the kernel with the real blocks.

The order between branches is not compared: there one node ran at a time. The order at each node is.
"""

from collections import defaultdict
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from tests.blocks.vectors import decode, mended_vids, same
from tests.kernel.driver import Driver, Emission, Failure, Function
from tests.shared_files import SHARED, needs_shared, vector_sets
from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.kernel.graph import Graph, Link, Node
from treadle.kernel.plan import BlockFacts, compile_plan
from treadle.sdk.block import Block
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import make_context

BY_NAME = {block.name: block for block in ALL_BLOCKS}
BY_ID = {block.id: block for block in ALL_BLOCKS}
RECORDED = {each["vid"]: each for each in vector_sets().get("graphs", []) if "trace" in each}


def facts(id: BlockId) -> BlockFacts:
    block = BY_ID[id]
    return BlockFacts(block.version, block.work.value, block.kind.value, block.static_output)


def inline(block: Block) -> Function:
    """The block as a scripted node: it is driven by hand, as it waits for nothing."""

    def run(inputs: dict[str, Any]) -> Any:
        try:
            stream = block.run(block.reader.read(inputs), make_context())
            while True:
                try:
                    stream.asend(None).send(None)
                except StopIteration as sent:
                    if sent.value[0] == "error":
                        raise BlockError(str(sent.value[1])) from None
                    yield sent.value
        except StopAsyncIteration:
            return
        except BlockError as error:
            raise Failure(str(error)) from error

    return run


def run(recorded: Mapping[str, Any]) -> Driver:
    blocks = {each["id"]: BY_NAME[each["block"]] for each in recorded["nodes"]}
    nodes = [Node(NodeId(each["id"]), blocks[each["id"]].id, decode(each["constants"])) for each in recorded["nodes"]]
    links = [Link(NodeId(a), out, NodeId(b), pin) for a, out, b, pin in recorded["links"]]
    plan = compile_plan(Graph(GraphId("g"), 1, tuple(nodes), tuple(links)), facts)
    static = {(link.source, link.source_name, link.sink, link.sink_name) for link in links if _static(blocks, link)}
    assert static == {tuple(each) for each in recorded["static_links"]}
    inputs = decode(recorded["inputs"])
    given = {
        node.id: {"value": inputs[node.constants["name"]]}
        for node in nodes
        if blocks[node.id].kind.value == "Input" and node.constants["name"] in inputs
    }
    return Driver(plan, {name: inline(block) for name, block in blocks.items()}).begin(**given).run()


def _static(blocks: Mapping[str, Block], link: Link) -> bool:
    return blocks[link.source].static_output


def problems(recorded: Mapping[str, Any]) -> list[str]:
    """What differs from the record."""
    driver, found = run(recorded), []
    sent = _sent(driver)
    for each in recorded["nodes"]:
        wanted = [step for step in recorded["trace"] if step["node"] == each["id"]]
        got = [fired for _, fired in sorted(driver.fired.items()) if fired.node == each["id"]]
        if len(got) != len(wanted):
            found.append(f"{each['id']} fired {len(got)} times, recorded {len(wanted)}")
            continue
        for step, fired in zip(wanted, got, strict=True):
            if not same(_own_words(step["outputs"]), [list(one) for one in sent[fired.number]]):
                found.append(f"{each['id']} sent {sent[fired.number]}, recorded {step['outputs']}")
            found.extend(_input_problems(BY_NAME[each["block"]], step["input"], fired.inputs))
    outputs: dict[str, list[Any]] = defaultdict(list)
    for name, value in driver.machine.outputs:
        outputs[name].append(value)
    if not same(_own_words(recorded["run_outputs"]), dict(outputs)):
        found.append(f"gave {dict(outputs)}, recorded {recorded['run_outputs']}")
    waiting = {each["node"] for each in recorded["left_incomplete"]}
    if waiting != {node for node, _, _ in driver.leftovers}:
        found.append(f"waits at {driver.leftovers}, recorded {recorded['left_incomplete']}")
    if driver.machine.failed:
        found.append(f"the run failed: {driver.machine.failures}")
    return found


def _sent(driver: Driver) -> dict[int, list[Emission]]:
    sent: dict[int, list[Emission]] = {}
    for record in driver.records:
        if record[0] == "end":
            sent[record[1]] = [*record[2], *([("error", record[3])] if record[3] else [])]
    return sent


def _choice(value: Any) -> str | None:
    """How the record writes a value of a closed choice."""
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else None


def _own_words(value: Any) -> Any:
    """Messages of failures are in words of our own: any text will do for one."""
    if isinstance(value, dict):
        return {"$match": "."} if "$match" in value else {name: _own_words(each) for name, each in value.items()}
    return [_own_words(each) for each in value] if isinstance(value, list) else value


def _input_problems(block: Block, recorded: Mapping[str, Any], inputs: dict[str, Any]) -> list[str]:
    """Pins must have arrived under the same names, and be read as the same values."""
    names = {name for name in recorded if name in inputs or "_#_" in name or "_$_" in name or "_@_" in name}
    if names != inputs.keys():
        return [f"was given {sorted(inputs)}, recorded {sorted(recorded)}"]
    try:
        read = block.reader.read(inputs).model_dump()
    except BlockError as error:
        return [str(error)]
    return [
        f"read {pin} as {read[pin]!r}, recorded {value!r}"
        for pin, value in recorded.items()
        if pin in read and value != _choice(read[pin]) and not same(_own_words(value), read[pin])
    ]


@needs_shared(SHARED / "reference" / "blocks" / "vectors")
@pytest.mark.parametrize("vid", sorted(RECORDED))
def test_recorded_graph(vid: str) -> None:
    found = problems(RECORDED[vid])
    if vid in mended_vids():
        assert found, f"{vid} is listed as mended, yet matches the record"
    else:
        assert found == []
