"""Graphs that an earlier release has saved."""

import shutil
from pathlib import Path

import asyncpg
import pytest

from tests.features.graphs.samples import CHILD, agent, node
from treadle.base import migrations
from treadle.base.config import Settings
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.base.migrations import migrate
from treadle.base.paths import migrations_folder


async def test_saved_graphs_get_a_head_with_their_newest_version(
    unmigrated_database: DatabaseUrls, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = migrations_folder()
    (ours,) = whole.glob("versions/*_graph_heads.py")
    (tmp_path / "versions").mkdir()
    for file in (whole / "env.py", *(each for each in whole.glob("versions/*.py") if each.name < ours.name)):
        shutil.copy(file, tmp_path / file.relative_to(whole))
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "migrations_folder", lambda: tmp_path)
        await migrate(unmigrated_database, settings)
    owner = await asyncpg.connect(unmigrated_database.owner)
    for version, name in ((1, "Old"), (2, "New")):
        document = agent([node("c", CHILD, graph_id="below", graph_version=1)], name=name, description="It runs.")
        await owner.execute(
            "INSERT INTO graphs (workspace_id, id, version, name, document, digest) VALUES ($1, 'a', $2, $3, $4, '')",
            LOCAL_WORKSPACE,
            version,
            name,
            document.model_dump_json(exclude={"version", "sub_graphs"}),
        )
    await migrate(unmigrated_database, settings)
    (head,) = await owner.fetch("SELECT * FROM graph_heads")
    assert [head[key] for key in ("id", "name", "description", "newest_version", "active_version", "deleted_at")] == [
        *("a", "New", "It runs.", 2, 2, None)
    ]
    assert [row["children"] for row in await owner.fetch("SELECT children FROM graphs")] == [["below"], ["below"]]
    await owner.close()
