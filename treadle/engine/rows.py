"""Rows that a worker writes with the journal's commit, besides the records themselves."""

from collections.abc import Mapping
from typing import Any

from treadle.engine.journal import Owner
from treadle.engine.run import Run
from treadle.engine.summary import plain_json
from treadle.kernel.firing import Firing
from treadle.kernel.records import FORMAT


def created_row(root: Owner, run: Run, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The row of an execution that this worker starts itself; ``inputs`` as they are recorded, by node."""
    parent = run.parent
    return {
        "id": run.id,
        "root_id": root.id,
        "parent_id": parent[0].id if parent else None,
        "parent_firing": parent[1] if parent else None,
        "parent_slot": parent[2] if parent else None,
        "workspace_id": root.workspace,
        "graph_id": run.plan.graph_id,
        "graph_version": run.plan.graph_version,
        "plan_digest": run.plan.digest.hex(),
        "format": FORMAT,
        "epoch": root.epoch,
        "idempotency_key": run.asked.key if run.asked else None,
        "request_digest": run.asked.digest.hex() if run.asked else None,
        "settings": run.settings,
        "inputs": plain_json(inputs),
        "rerun_of": run.rerun_of,
    }


def charge_row(root: Owner, run: Run, firing: Firing, kind: str, amount: int, written_off: int) -> dict[str, Any]:
    """A hold before an attempt, or its settlement: one of each for (execution, firing, attempt)."""
    return {
        "root_id": root.id,
        "execution_id": run.id,
        "firing": firing.number,
        "attempt": firing.attempt,
        "kind": kind,
        "workspace_id": root.workspace,
        "amount": amount,
        "written_off": written_off,
    }
