"""What a person calls the nodes of a run."""

from treadle.engine.store import ExecutionRow
from treadle.main.wiring import Platform


async def node_titles(platform: Platform, row: ExecutionRow) -> dict[str, str]:
    """By node: its own title, the name of the input or output that it is, the title of its block, or its id."""
    plan = await platform.executions.plan(row)
    blocks = {node.id: platform.registry.get(node.block_id) for node in plan.nodes}
    return {
        node.id: node.title or str(node.constants.get("name") or "") or (block.title if block else node.id)
        for node in plan.nodes
        for block in (blocks[node.id],)
    }
