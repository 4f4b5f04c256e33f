"""People and acts as answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from treadle.features.accounts.profiles import name_of
from treadle.web.accounts.answers import workspace_body
from treadle.web.administration.bodies import (
    ActBody,
    ActList,
    ActorBody,
    DeletedWorkspaceBody,
    PersonBody,
    PersonDetail,
)

if TYPE_CHECKING:
    from treadle.features.accounts.directory_repository import Belongings, Listed
    from treadle.features.accounts.models import User
    from treadle.features.accounts.workspace_repository import Deleted
    from treadle.features.audit.models import AuditEntry


def person_body(row: "Listed") -> PersonBody:
    """Somebody."""
    user = row.user
    return PersonBody(
        id=user.id,
        email=user.email,
        email_proven=user.email_proven,
        name=name_of(user),
        admin=user.admin,
        status="active" if user.disabled_at is None else "disabled",
        disabled_at=user.disabled_at,
        issuers=row.issuers,
        created_at=user.created_at,
        last_sign_in_at=user.last_sign_in_at,
    )


def person_detail(row: "Listed", has: "Belongings") -> PersonDetail:
    """Somebody, with what they have."""
    return PersonDetail(
        **person_body(row).model_dump(),
        workspaces=[workspace_body(each.workspace, each.role) for each in has.parts],
        open_sessions=has.sessions,
        api_keys=has.keys,
    )


def deleted_body(row: "Deleted") -> DeletedWorkspaceBody:
    """A deleted workspace."""
    workspace = row.workspace
    assert workspace.deleted_at is not None
    return DeletedWorkspaceBody(
        id=workspace.id,
        name=workspace.name,
        created_at=workspace.created_at,
        deleted_at=workspace.deleted_at,
        kept_until=row.until,
    )


def act_list(rows: "Sequence[AuditEntry]", people: "Mapping[UUID, User]", limit: int) -> ActList:
    """Acts, of which ``limit`` were asked for."""
    goes_on = len(rows) == limit
    return ActList(entries=[_act(each, people) for each in rows], next=rows[-1].id if goes_on else None)


def _act(row: "AuditEntry", people: "Mapping[UUID, User]") -> ActBody:
    who = people.get(row.actor) if row.actor is not None else None
    return ActBody(
        id=row.id,
        at=row.at,
        action=row.action,
        actor=None if who is None else ActorBody(id=who.id, email=who.email, name=name_of(who)),
        target=row.target,
        workspace_id=row.workspace_id,
        address=row.address,
        request_id=row.request_id,
        details=row.details,
    )
