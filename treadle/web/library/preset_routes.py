"""Routes for presets: inputs that are kept."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from treadle.base.ids import ExecutionId, GraphId, PresetId
from treadle.features.library.presets import NewPreset, PresetChanges
from treadle.features.library.service import UNSET
from treadle.web.access import Edits, Reads, Starts
from treadle.web.bodies import FOUND, Done, ThePage, pagination
from treadle.web.executions.bodies import RunReport
from treadle.web.executions.starting import STARTED, Wait, chosen_credentials, started
from treadle.web.idempotency import ONCE, Once, TheKey
from treadle.web.library.answers import preset_body
from treadle.web.library.bodies import (
    ExecutePreset,
    NewPresetBody,
    PresetBody,
    PresetFromRun,
    PresetList,
    PresetUpdate,
)
from treadle.web.site import TheSite

router = APIRouter(prefix="/api/v2/library/presets", tags=["library"])


@router.get("", operation_id="list_presets")
async def list_presets(
    site: TheSite,
    who: Reads,
    page: ThePage,
    graph_id: Annotated[str | None, Query(max_length=500, description="Only presets of this agent.")] = None,
) -> PresetList:
    """Presets, the last changed first."""
    graph = None if graph_id is None else GraphId(graph_id)
    presets, total = await site.presets.page(who.workspace, page, graph)
    return PresetList(presets=[preset_body(each) for each in presets], pagination=pagination(page, total))


@router.post("", operation_id="create_preset", status_code=201, response_model=PresetBody, responses={**FOUND, **ONCE})
async def create_preset(site: TheSite, who: Edits, body: NewPresetBody | PresetFromRun, once: Once) -> Response:
    """Keep inputs of an agent, given here or taken from a run. Secret ones are encrypted, and never shown."""

    async def create() -> PresetBody:
        if isinstance(body, PresetFromRun):
            id = ExecutionId(body.execution_id)
            made = await site.presets.create_from_run(who.workspace, who.user, id, body.name, body.description)
            return preset_body(made)
        new = NewPreset(
            graph=GraphId(body.graph_id),
            name=body.name,
            description=body.description,
            version=body.graph_version,
            inputs=body.inputs,
            credentials=chosen_credentials(body.credentials),
        )
        return preset_body(await site.presets.create(who.workspace, who.user, new))

    return await once(who, create, status=201)


@router.get("/{preset_id}", operation_id="get_preset", responses=FOUND)
async def get_preset(site: TheSite, who: Reads, preset_id: UUID) -> PresetBody:
    """One preset."""
    return preset_body(await site.presets.get(who.workspace, PresetId(preset_id)))


@router.patch("/{preset_id}", operation_id="update_preset", responses=FOUND)
async def update_preset(site: TheSite, who: Edits, preset_id: UUID, body: PresetUpdate) -> PresetBody:
    """Change a preset. What is not given stays as it is."""
    changes = PresetChanges(
        name=body.name,
        description=body.description,
        version=body.graph_version if "graph_version" in body.model_fields_set else UNSET,
        inputs=body.inputs,
        credentials=None if body.credentials is None else chosen_credentials(body.credentials),
    )
    return preset_body(await site.presets.update(who.workspace, PresetId(preset_id), changes))


@router.delete("/{preset_id}", operation_id="delete_preset", responses=FOUND)
async def delete_preset(site: TheSite, who: Edits, preset_id: UUID) -> Done:
    """Delete a preset. Its runs stay."""
    await site.presets.delete(who.workspace, PresetId(preset_id))
    return Done()


@router.post("/{preset_id}/execute", operation_id="execute_preset", response_model=RunReport, responses=STARTED)
async def execute_preset(
    site: TheSite, who: Starts, preset_id: UUID, body: ExecutePreset, wait: Wait = 0, key: TheKey = None
) -> Response:
    """Start a run: 200 with its outputs when it ends within ``wait`` seconds, else 202 with its id."""
    wanted = await site.presets.wanted(
        who.workspace,
        PresetId(preset_id),
        inputs=body.inputs,
        credentials=chosen_credentials(body.credentials),
        settings=body.given(),
        key=key,
    )
    return await started(site, who.workspace, wanted, wait)
