"""Keys of the external API in the database."""

from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import ApiKeyId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.accounts.models import ApiKey, User

_USE_NOTED = timedelta(minutes=1)
"""How exactly it is known when a key was used last: a write for each use would cost more than it tells."""


class KeyRepository:
    """Reads and changes keys, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def add(self, row: ApiKey, keep: timedelta | None) -> None:
        """Add a key, which is good for ``keep``."""
        if keep is not None:
            row.expires_at = func.now() + keep
        self.session.add(row)
        await self.session.flush()
        await self.session.refresh(row)

    async def good(self, hash: bytes) -> ApiKey | None:
        """The key with this hash, if it and its person are still good; its use is noted."""
        query = select(ApiKey).join(User, User.id == ApiKey.user_id)
        found = await self.session.scalar(query.where(ApiKey.hash == hash, _good(), User.disabled_at.is_(None)))
        if found is not None:
            unnoted = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - _USE_NOTED)
            await self.session.execute(
                update(ApiKey).where(ApiKey.id == found.id, unnoted).values(last_used_at=func.now())
            )
        return found

    async def page(self, workspace: WorkspaceId, user: UserId | None, page: Page) -> tuple[list[ApiKey], int]:
        """A page of the keys that are not revoked, newest first, of one person or of all, and how many there are."""
        wanted = [ApiKey.workspace_id == workspace, ApiKey.revoked_at.is_(None)]
        if user is not None:
            wanted.append(ApiKey.user_id == user)
        total = await self.session.scalar(select(func.count()).select_from(ApiKey).where(*wanted)) or 0
        query = select(ApiKey).where(*wanted).order_by(ApiKey.id.desc()).offset(page.offset).limit(page.size)
        return list(await self.session.scalars(query)), total

    async def count(self, workspace: WorkspaceId, user: UserId) -> int:
        """How many keys a person has there that are not revoked."""
        wanted = (ApiKey.workspace_id == workspace, ApiKey.user_id == user, ApiKey.revoked_at.is_(None))
        return await self.session.scalar(select(func.count()).select_from(ApiKey).where(*wanted)) or 0

    async def revoke(self, workspace: WorkspaceId, key: ApiKeyId, user: UserId | None) -> bool:
        """Let the key be good no more; False when there is none (of this person, if one is named)."""
        change = update(ApiKey).where(ApiKey.workspace_id == workspace, ApiKey.id == key, ApiKey.revoked_at.is_(None))
        if user is not None:
            change = change.where(ApiKey.user_id == user)
        return await self.session.scalar(change.values(revoked_at=func.now()).returning(ApiKey.id)) is not None


def _good() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
