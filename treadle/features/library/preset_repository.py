"""Presets in the database."""

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import GraphId, PresetId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.library.models import LibraryAgent, Preset


class PresetRepository:
    """Presets of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def get(self, id: PresetId) -> Preset | None:
        """That preset, if there is one; nobody else changes it before the transaction ends."""
        query = select(Preset).where(*self._present(), Preset.id == id)
        return await self._session.scalar(query.with_for_update(key_share=True))

    async def current(self, graph: GraphId) -> int | None:
        """The version of a graph that runs when none is named; None when there is no such graph."""
        entry = (LibraryAgent.workspace_id == self._workspace, LibraryAgent.graph_id == graph)
        return await self._session.scalar(select(LibraryAgent.version).where(*entry))

    async def page(self, page: Page, graph: GraphId | None) -> tuple[list[Preset], int]:
        """Presets, the last changed first, and how many there are; of one graph or of all."""
        wanted = [*self._present(), *([] if graph is None else [Preset.graph_id == graph])]
        ordered = select(Preset).where(*wanted).order_by(Preset.updated_at.desc(), Preset.id)
        total = await self._session.scalar(select(func.count()).select_from(Preset).where(*wanted)) or 0
        return list(await self._session.scalars(ordered.offset(page.offset).limit(page.size))), total

    async def add(self, preset: Preset) -> None:
        """Add a preset."""
        self._session.add(preset)
        await self._session.flush()

    async def change(self, preset: Preset, **values: Any) -> None:
        """Change a preset."""
        for name, value in {**values, "updated_at": func.now()}.items():
            setattr(preset, name, value)
        await self._session.flush()
        await self._session.refresh(preset)

    async def delete(self, preset: Preset) -> None:
        """Hide a preset, and forget its secrets."""
        await self.change(preset, deleted_at=func.now(), secrets={})

    def _present(self) -> tuple[ColumnElement[bool], ...]:
        return (Preset.workspace_id == self._workspace, Preset.deleted_at.is_(None))
