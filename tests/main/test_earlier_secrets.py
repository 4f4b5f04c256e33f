"""Agents that an early release saved, on a platform that starts."""

import json

import asyncpg
import pytest

from tests.conftest import isolated_settings
from tests.engine.harness import raw_rows
from tests.main.installs import OUTPUT, TEMPLATE, agent, running_install
from treadle.base.ids import LOCAL_WORKSPACE, GraphId
from treadle.engine.secrets import opened
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.service import Graphs
from treadle.features.graphs.storage import GraphStorage
from treadle.kernel.states import Status
from treadle.main.wiring import running_platform

CANARY = "canary-early-91d3"
SECRETIVE = agent(
    {
        "join": (TEMPLATE, {"format": "the key is {{password}}", "values_#_password": CANARY}),
        "out": (OUTPUT, {"name": "got"}),
    },
    [("join", "output", "out", "value")],
    id="early",
)


async def test_they_are_encrypted_before_anything_runs_and_do_what_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_install() as home:
        settings = isolated_settings(home, monkeypatch)
        async with running_platform(settings, works=False) as platform:
            early = Graphs(GraphStorage(platform.database), platform.store, platform.registry)
            await early.save(LOCAL_WORKSPACE, read_agent_file(json.dumps(SECRETIVE).encode(), name="early.json"))
            owner = await asyncpg.connect(platform.urls.owner)
            await owner.execute("UPDATE graphs SET sealed = false")
            assert CANARY in await raw_rows(owner, "graphs")
            await owner.close()
        async with running_platform(settings) as platform:
            id = await platform.executions.start(LOCAL_WORKSPACE, GraphId("early"), {})
            row = await platform.worker.finished(LOCAL_WORKSPACE, id)
            assert row.status is Status.COMPLETED
            assert opened(row.outputs, platform.seals, LOCAL_WORKSPACE) == [("got", f"the key is {CANARY}")]
            owner = await asyncpg.connect(platform.urls.owner)
            for table in ("graphs", "plans", "executions", "journal"):
                assert CANARY not in await raw_rows(owner, table), table
            await owner.close()
