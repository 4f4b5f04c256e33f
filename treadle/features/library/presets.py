"""Presets: inputs of an agent that are kept, to run it with them again."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId, GraphId, PresetId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.engine.ports import Seals
from treadle.engine.secrets import MASK, opened
from treadle.features.executions.service import Executions
from treadle.features.executions.starting import Wanted
from treadle.features.graphs.service import Graphs
from treadle.features.library.service import UNSET, Unset
from treadle.sdk.credentials import CredentialsRef

if TYPE_CHECKING:
    from treadle.features.library.models import Preset
    from treadle.features.library.preset_repository import PresetRepository


@dataclass(frozen=True, slots=True)
class NewPreset:
    """A preset that is to be made."""

    graph: GraphId
    name: str
    description: str = ""
    version: int | None = None
    """None: the one that runs when none is named."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, CredentialsRef] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PresetChanges:
    """What is to change of a preset."""

    name: str | None = None
    description: str | None = None
    version: int | Unset | None = UNSET
    inputs: Mapping[str, Any] | None = None
    """All of them; a secret one that is given as it is shown, ``***``, stays what it is."""
    credentials: Mapping[str, CredentialsRef] | None = None


class Presets:
    """The presets of an install."""

    def __init__(self, database: WorkspaceDatabase, graphs: Graphs, executions: Executions, seals: Seals) -> None:
        self._database = database
        self._graphs = graphs
        self._executions = executions
        self._seals = seals

    async def page(
        self, workspace: WorkspaceId, page: Page, graph: GraphId | None = None
    ) -> "tuple[list[Preset], int]":
        """Presets, the last changed first, and how many there are; of one graph or of all."""
        async with self._repository(workspace) as repository:
            return await repository.page(page, graph)

    async def get(self, workspace: WorkspaceId, id: PresetId) -> "Preset":
        """One preset. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            return await _present(repository, id)

    async def create(self, workspace: WorkspaceId, user: UserId, new: NewPreset) -> "Preset":
        """Keep inputs.

        Raises:
            NotFound: there is no such graph or version.
            BadRunInputs: the agent has no such input, or a value is of a wrong type.
        """
        from treadle.features.library.models import Preset  # noqa: PLC0415 (loads SQLAlchemy)

        inputs, secrets = await self._kept(workspace, new.graph, new.version, new.inputs, {})
        async with self._repository(workspace) as repository:
            preset = Preset(
                id=uuid7(),
                workspace_id=workspace,
                graph_id=new.graph,
                graph_version=new.version,
                name=new.name,
                description=new.description,
                inputs=inputs,
                secrets=secrets,
                credentials=_written(new.credentials),
                created_by=user,
            )
            await repository.add(preset)
            return preset

    async def create_from_run(
        self, workspace: WorkspaceId, user: UserId, id: ExecutionId, name: str, description: str = ""
    ) -> "Preset":
        """Keep what a run was given, for the version that runs when none is named.

        Raises:
            NotFound: there is no such run, or its graph is deleted.
            BadRunInputs: by now the agent has no such input, or it takes something else.
        """
        run = await self._executions.get(workspace, id)
        inputs = opened(await self._executions.inputs(run), self._seals, workspace)
        return await self.create(workspace, user, NewPreset(run.graph_id, name, description, inputs=inputs))

    async def update(self, workspace: WorkspaceId, id: PresetId, changes: PresetChanges) -> "Preset":
        """Change a preset. Raises as ``create``."""
        async with self._repository(workspace) as repository:
            preset = await _present(repository, id)
            values: dict[str, Any] = {"name": changes.name, "description": changes.description}
            values = {name: value for name, value in values.items() if value is not None}
            version = preset.graph_version if isinstance(changes.version, Unset) else changes.version
            inputs = changes.inputs
            if inputs is None:
                inputs = {**preset.inputs, **dict.fromkeys(preset.secrets, MASK)}
            if changes.inputs is not None or version != preset.graph_version:
                graph = GraphId(preset.graph_id)
                kept = await self._kept(workspace, graph, version, inputs, preset.secrets)
                values |= {"graph_version": version, "inputs": kept[0], "secrets": kept[1]}
            if changes.credentials is not None:
                values["credentials"] = _written(changes.credentials)
            await repository.change(preset, **values)
            return preset

    async def delete(self, workspace: WorkspaceId, id: PresetId) -> None:
        """Delete a preset; its runs stay. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            await repository.delete(await _present(repository, id))

    async def wanted(
        self,
        workspace: WorkspaceId,
        id: PresetId,
        *,
        inputs: Mapping[str, Any],
        credentials: Mapping[str, CredentialsRef],
        settings: Mapping[str, Any],
        key: str | None = None,
    ) -> Wanted:
        """A run with the preset's inputs and credentials, or with others instead of some. Raises ``NotFound``."""
        preset = await self.get(workspace, id)
        secrets = {name: json.loads(opened(text, self._seals, workspace)) for name, text in preset.secrets.items()}
        instead = {name: value for name, value in inputs.items() if name not in secrets or value != MASK}
        refs = {name: CredentialsRef.model_validate(value) for name, value in preset.credentials.items()}
        return Wanted(
            graph=GraphId(preset.graph_id),
            inputs={**preset.inputs, **secrets, **instead},
            version=preset.graph_version,
            settings=settings,
            credentials={**refs, **credentials},
            key=key,
        )

    async def _kept(
        self,
        workspace: WorkspaceId,
        graph: GraphId,
        version: int | None,
        inputs: Mapping[str, Any],
        before: Mapping[str, str],
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Inputs and secrets as they are kept; ``before`` are the secrets that may stay as they are."""
        unchanged = {name: before[name] for name, value in inputs.items() if name in before and value == MASK}
        given = {name: value for name, value in inputs.items() if name not in unchanged}
        async with self._repository(workspace) as repository:
            checked = version if version is not None else await repository.current(graph)
        secret = await self._graphs.checked_inputs(workspace, graph, checked, given)
        sealed = {
            name: self._seals.sealed(workspace, json.dumps(value)) for name, value in given.items() if name in secret
        }
        return {name: value for name, value in given.items() if name not in secret}, {**unchanged, **sealed}

    @contextlib.asynccontextmanager
    async def _repository(self, workspace: WorkspaceId) -> "AsyncIterator[PresetRepository]":
        from treadle.features.library.preset_repository import PresetRepository  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            yield PresetRepository(session, workspace)


async def _present(repository: "PresetRepository", id: PresetId) -> "Preset":
    preset = await repository.get(id)
    if preset is None:
        raise NotFound(f"There is no preset {id}.", fix="List the presets to find its id.")
    return preset


def _written(credentials: Mapping[str, CredentialsRef]) -> dict[str, Any]:
    return {name: ref.model_dump(mode="json") for name, ref in credentials.items()}
