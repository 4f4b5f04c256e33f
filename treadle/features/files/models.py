"""The table of files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from treadle.base.models import Model


class StoredFile(Model):
    """A file. Its bytes are in the file store, under ``place``."""

    __tablename__ = "files"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    created_by: Mapped[UUID]
    place: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(Text)
    scan: Mapped[str] = mapped_column(Text, default="NONE")
    finding: Mapped[str] = mapped_column(Text, default="")
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
