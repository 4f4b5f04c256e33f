"""An install for tests of commands and routes: one data folder with a migrated database that keeps running."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from treadle.base.config import load_settings
from treadle.base.database import running_database
from treadle.base.migrations import migrate
from treadle.base.postgres import EmbeddedPostgres

INPUT = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
NUMBER = "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98"
OUTPUT = "363ae599-353e-4804-937e-b2ee3cef3da4"
TEMPLATE = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
REVIEW = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
TIMER = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"
AGENT = "e189baac-8c20-45a1-94a7-55177ea42565"
CALCULATOR = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
Link = tuple[str, str, str, str]


@contextlib.contextmanager
def running_install() -> Iterator[Path]:
    """A data folder whose PostgreSQL runs, migrated, for as long as the context lasts."""
    home = Path(tempfile.mkdtemp(prefix="treadle-"))
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    try:
        with ThreadPoolExecutor(1) as thread:  # the test's own event loop may already be there
            thread.submit(lambda: asyncio.run(_migrated(home))).result()
        yield home
    finally:
        server.stop()
        shutil.rmtree(home)


async def _migrated(home: Path) -> None:
    settings = load_settings(_env_file=None, home=home, database_url="")
    async with running_database(settings) as urls:
        await migrate(urls, settings)


def agent(nodes: dict[str, tuple[str, dict[str, Any]]], links: Sequence[Link] = (), **more: Any) -> dict[str, Any]:
    """An agent file: nodes as ``{id: (block, constants)}``, links as (source, pin, sink, pin)."""
    ends = ("source_id", "source_name", "sink_id", "sink_name")
    return {
        "name": "A test's agent",
        "nodes": [{"id": id, "block_id": block, "input_default": values} for id, (block, values) in nodes.items()],
        "links": [dict(zip(ends, link, strict=True)) for link in links],
        **more,
    }


GREETING = agent(
    {
        "who": (INPUT, {"name": "who"}),
        "text": (TEMPLATE, {"format": "Hello {{name}}!"}),
        "out": (OUTPUT, {"name": "greeting"}),
    },
    [("who", "result", "text", "values_#_name"), ("text", "output", "out", "value")],
    name="greeting",
)
"""Takes ``who``, gives ``greeting``."""

ASKING = agent(
    {
        "draft": (INPUT, {"name": "draft", "value": "a draft"}),
        "ask": (REVIEW, {"name": "Is this good?", "editable": True}),
        "out": (OUTPUT, {"name": "approved"}),
        "no": (OUTPUT, {"name": "rejected"}),
    },
    [
        ("draft", "result", "ask", "data"),
        ("ask", "approved_data", "out", "value"),
        ("ask", "rejected_data", "no", "value"),
    ],
    name="asking",
)
"""Asks a person."""

FAILING = agent(
    {
        "of": (NUMBER, {"name": "of"}),
        "sum": (CALCULATOR, {"operation": "Power", "b": 0.5}),
        "out": (OUTPUT, {"name": "result"}),
    },
    [("of", "result", "sum", "a"), ("sum", "result", "out", "value")],
    name="root",
)
"""Gives the square root of the number ``of``; a negative one has none."""

WAITING = agent(
    {"timer": (TIMER, {"input_message": "late", "hours": 1}), "out": (OUTPUT, {"name": "message"})},
    [("timer", "output_message", "out", "value")],
    name="waiting",
)
"""Waits for an hour."""


def written(folder: Path, document: dict[str, Any], name: str = "agent.json") -> str:
    """The path of a file that holds the agent."""
    file = folder / name
    file.write_text(json.dumps(document), encoding="utf-8")
    return str(file)
