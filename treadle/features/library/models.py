"""The tables of the library."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Computed, DateTime, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from treadle.base.models import Model


class LibraryAgent(Model):
    """The entry of a graph. The database makes it when the graph is first saved, and keeps up what the graph says."""

    __tablename__ = "library_agents"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    graph_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    """Of the version that runs, as is the description."""
    description: Mapped[str] = mapped_column(Text)
    newest_version: Mapped[int] = mapped_column(Integer)
    active_version: Mapped[int] = mapped_column(Integer)
    pinned_version: Mapped[int | None] = mapped_column(Integer)
    """The version that runs, whatever is active; None follows the active one."""
    version: Mapped[int] = mapped_column(Integer, Computed("coalesce(pinned_version, active_version)"))
    """The one that runs when none is named."""
    is_part: Mapped[bool]
    """It came with another agent, as a sub-agent of that."""
    is_archived: Mapped[bool]
    folder_id: Mapped[UUID | None]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When it was taken out of the library; the graph and its runs stay."""
    graph_deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Favorite(Model):
    """That somebody likes an agent."""

    __tablename__ = "library_favorites"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID] = mapped_column(primary_key=True)


class Folder(Model):
    """A folder of agents."""

    __tablename__ = "library_folders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    parent_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(Text)
    icon: Mapped[str] = mapped_column(Text)
    color: Mapped[str] = mapped_column(Text)
    """``#rrggbb``, or nothing."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Preset(Model):
    """Inputs of an agent that are kept, to run it with them again."""

    __tablename__ = "library_presets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    graph_id: Mapped[str] = mapped_column(Text)
    graph_version: Mapped[int | None] = mapped_column(Integer)
    """None: the one that runs when none is named."""
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """By name; without those of secret inputs."""
    secrets: Mapped[dict[str, str]] = mapped_column(JSONB)
    """The values of secret inputs, by name: each as JSON, encrypted."""
    credentials: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Which to use, by the names of the agent's needs."""
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
