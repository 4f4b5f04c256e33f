"""A node of an exported agent names no credentials, or somebody else's: it runs with those of this install."""

from pathlib import Path
from typing import Any, cast

import pytest

from treadle.base.ids import LOCAL_WORKSPACE, BlockId, NodeId
from treadle.engine.attempt import Outcome, run_attempt
from treadle.engine.ports import Services
from treadle.engine.run import NodeSpec
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.providers import keyless, known_setups
from treadle.features.credentials.service import CredentialsSource
from treadle.integrations.catalogue import ALL_BLOCKS
from treadle.kernel.graph import NodePolicy
from treadle.kernel.plan import PlanNode
from treadle.sdk.registry import Registry
from treadle.sdk.testing import FrozenClock, ScriptedHttp, make_context

REGISTRY = Registry(ALL_BLOCKS)
BLOCK = REGISTRY.by_name("SearchTheWebBlock")
FOREIGN = {"id": "53c25cb8-e3ee-465c-a4d1-e75a4c899c2a", "provider": "jina", "type": "api_key", "title": "Mine"}


async def attempt(home: Path, inputs: dict[str, Any], **environ: str) -> tuple[Outcome, ScriptedHttp]:
    nobody = cast("Any", None)  # this block needs nothing else of the platform
    source = CredentialsSource(Keyring(known_setups(), environ, home), keyless())
    services = Services(REGISTRY, FrozenClock(), nobody, source, nobody, nobody)
    node = PlanNode(NodeId("n"), BlockId(BLOCK.id), 1, str(BLOCK.kind), str(BLOCK.work), {}, NodePolicy())
    http = ScriptedHttp([lambda request: "found"])
    context = make_context(http=http)
    return await run_attempt(NodeSpec(node, BLOCK), inputs, context, services, LOCAL_WORKSPACE, 0), http


@pytest.mark.parametrize(
    "given", [{}, {"credentials": FOREIGN}, {"credentials": None}, {"credentials": {"key": "old"}}]
)
async def test_it_runs_with_the_only_credentials_there_are(tmp_path: Path, given: dict[str, Any]) -> None:
    outcome, http = await attempt(tmp_path, {"query": "doors", **given}, JINA_API_KEY="canary")
    assert (outcome.error, outcome.outputs) == ("", [("results", "found")])
    sent = http.sent[0].credentials
    assert sent is not None and sent.headers["Authorization"].get_secret_value() == "Bearer canary"


async def test_without_credentials_it_fails_saying_which(tmp_path: Path) -> None:
    outcome, http = await attempt(tmp_path, {"query": "doors"})
    assert "no jina credentials" in outcome.error and not outcome.passing
    assert http.sent == []
