"""Agents in which a model decides, on a platform whose provider is a scripted server."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e.platforms import fresh_platform
from tests.sdk.models.servers import ProviderServer, provider_server
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId, uuid7
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.kernel.states import FINAL, Status
from treadle.main.wiring import Platform

INPUT = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
OUTPUT = "363ae599-353e-4804-937e-b2ee3cef3da4"
AGENT = "e189baac-8c20-45a1-94a7-55177ea42565"
DECIDE = "3b191d9f-356f-482d-8238-ba04b6d18381"
CALCULATE = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
FILL = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
REVIEW = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
STORE = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
MODEL = "gpt-4o-mini"
PATIENCE = 60.0


class OnlyModels:
    """In place of the egress client: requests of the providers' libraries end at the scripted server."""

    def __init__(self, server: ProviderServer) -> None:
        self.transport = server.transport()


@asynccontextmanager
async def deciding_platform(*, works: bool = True) -> AsyncIterator[tuple[Platform, ProviderServer]]:
    """A fresh platform with a key for one provider of models, which the server plays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "canary-openai")
        async with provider_server() as server, fresh_platform(works=works) as platform:
            platform.doors.http = OnlyModels(server)  # type: ignore[assignment]
            yield platform, server


def node(id: str, block: str, title: str = "", **constants: Any) -> dict[str, Any]:
    metadata = {"customized_name": title} if title else {}
    return {"id": id, "block_id": block, "input_default": constants, "metadata": metadata}


def links(*texts: str) -> list[dict[str, Any]]:
    """``"node.pin > node.pin"`` as links of an agent file."""
    made = []
    for text in texts:
        (source, _, pin), (sink, _, into) = (end.partition(".") for end in text.split(" > "))
        made.append({"source_id": source, "source_name": pin, "sink_id": sink, "sink_name": into})
    return made


def agent(
    nodes: Sequence[Mapping[str, Any]], joined: Sequence[str], *, id: str = "", subs: Sequence[Any] = ()
) -> dict[str, Any]:
    """An agent file's document."""
    made = {"id": id or str(uuid7()), "version": 1, "name": "Deciding", "nodes": nodes, "links": links(*joined)}
    return {**made, "sub_graphs": list(subs)}


def read(document: Mapping[str, Any]) -> AgentFile:
    return read_agent_file(json.dumps(document).encode(), name="agent.json")


async def start(platform: Platform, document: Mapping[str, Any], **settings: Any) -> ExecutionId:
    """Import the agent file and start it."""
    row = await platform.graphs.save(LOCAL_WORKSPACE, read(document))
    return await platform.executions.start(LOCAL_WORKSPACE, GraphId(row.id), {}, settings=settings)


async def finished(platform: Platform, id: ExecutionId, *, resting: bool = False) -> Any:
    return await platform.worker.finished(LOCAL_WORKSPACE, id, resting=resting)


async def run(platform: Platform, document: Mapping[str, Any]) -> Any:
    """The summary of a run that is over; with its scripted server exhausted."""
    row = await finished(platform, await start(platform, document))
    assert row.status in FINAL
    return row


async def completed(platform: Platform, document: Mapping[str, Any]) -> Any:
    """The summary of a run that nobody had anything against."""
    row = await run(platform, document)
    assert (row.status, row.error, row.failures, row.warnings) == (Status.COMPLETED, None, [], [])
    return row
