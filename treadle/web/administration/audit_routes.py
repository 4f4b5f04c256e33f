"""Routes for reading the audit log: of a workspace, and of the installation."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, AwareDatetime

from treadle.base.ids import UserId, WorkspaceId
from treadle.features.audit.reading import Sought
from treadle.web.access import Administers, Manages
from treadle.web.administration.answers import act_list
from treadle.web.administration.bodies import ActList
from treadle.web.bodies import PlainText
from treadle.web.site import Site, TheSite

if TYPE_CHECKING:
    from treadle.features.audit.models import AuditEntry

router = APIRouter(prefix="/api/v2", tags=["audit"])

Action = Annotated[
    PlainText | None,
    Query(max_length=100, description="One such as member.removed, or all of a kind of thing: member."),
]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is too far from now") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


async def _sought(
    action: Action = None,
    actor: Annotated[UUID | None, Query(description="Who did it.")] = None,
    target: Annotated[PlainText | None, Query(max_length=200, description="The id of what it was done to.")] = None,
    since: Annotated[Moment | None, Query(description="From then on.")] = None,
    until: Annotated[Moment | None, Query(description="Before then.")] = None,
    before: Annotated[UUID | None, Query(description="Read on after the page that gave this as next.")] = None,
) -> Sought:
    return Sought(
        action=action, actor=UserId(actor) if actor else None, target=target, since=since, until=until, before=before
    )


TheSought = Annotated[Sought, Depends(_sought)]
Limit = Annotated[int, Query(ge=1, le=100, description="Acts on a page.")]


@router.get("/audit", operation_id="list_audit_log")
async def workspace_log(site: TheSite, who: Manages, sought: TheSought, limit: Limit = 50) -> ActList:
    """What happened in the workspace that bears on security, the newest first. Nobody can change it."""
    return await _told(site, await site.audit_log.of_workspace(who.workspace, sought, limit), limit)


@router.get("/admin/audit", operation_id="list_whole_audit_log")
async def whole_log(
    site: TheSite,
    who: Administers,
    sought: TheSought,
    workspace: Annotated[UUID | None, Query(description="In this workspace only.")] = None,
    limit: Limit = 50,
) -> ActList:
    """The same of the whole installation: all workspaces, and what concerns none, such as signing in."""
    only = WorkspaceId(workspace) if workspace else None
    return await _told(site, await site.audit_log.of_install(sought.within(only), limit), limit)


async def _told(site: Site, rows: "Sequence[AuditEntry]", limit: int) -> ActList:
    people = await site.directory.named(each.actor for each in rows if each.actor is not None)
    return act_list(rows, people, limit)
