"""What a person calls the nodes of a run."""

from treadle.engine.run import node_title
from treadle.engine.store import ExecutionRow
from treadle.main.wiring import Platform


async def node_titles(platform: Platform, row: ExecutionRow) -> dict[str, str]:
    """By node."""
    plan = await platform.executions.plan(row)
    return {node.id: node_title(node, platform.registry.get(node.block_id)) for node in plan.nodes}
