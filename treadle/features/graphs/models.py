"""The tables of graphs and their versions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Integer, LargeBinary, Text, false, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from treadle.base.models import Model


class GraphVersion(Model):
    """One immutable version of a graph. ``blocks`` pins the version of every block that it uses."""

    __tablename__ = "graphs"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    blocks: Mapped[dict[str, int]] = mapped_column(JSONB)
    children: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """The ids of the graphs that it runs as sub-agents."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[UUID | None]
    """Who saved it; None when it was saved from the command line."""
    note: Mapped[str] = mapped_column(Text)
    """What people say of it: "new greeting". The one thing that may be changed later."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    sealed: Mapped[bool] = mapped_column(server_default=false())
    """Whether its secrets are encrypted; those of versions that an early release saved may stand in the open."""


class GraphHead(Model):
    """A graph as a whole."""

    __tablename__ = "graph_heads"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    """Of the newest version, as is the description."""
    description: Mapped[str] = mapped_column(Text)
    newest_version: Mapped[int] = mapped_column(Integer)
    active_version: Mapped[int] = mapped_column(Integer)
    """What runs when no version is named."""
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """A deleted graph is not found any more; its runs stay readable."""
