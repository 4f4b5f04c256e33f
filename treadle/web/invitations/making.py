"""How an invitation is made over HTTP: once, and its link is in the answer and nowhere else."""

from fastapi import Response

from treadle.base.ids import InvitationId
from treadle.features.accounts.access import Principal
from treadle.features.accounts.invitations import Issued, Wanted
from treadle.web.idempotency import OnceOnly
from treadle.web.invitations.answers import invitation_body
from treadle.web.invitations.bodies import InvitationBody, NewInvitationBody
from treadle.web.site import Site


async def invited(site: Site, who: Principal, wanted: Wanted, once: OnceOnly) -> Response:
    """The answer with the invitation and its link.

    The link is not stored with the answer: a request that is sent again, because its answer was lost, gets another link
    of the same invitation. The one before is good no more; what was mailed stays, and is not mailed again.
    """
    made: list[Issued] = []

    async def make() -> InvitationBody:
        issued = await site.invitations.invite(who, wanted)
        made.append(issued)
        return invitation_body(await site.invitations.get(issued.id))

    async def with_link(stored: bytes) -> NewInvitationBody:
        body = InvitationBody.model_validate_json(stored)
        if made:
            await site.invitations.mail(made[0])
            issued = made[0]
        else:
            to_install = wanted.role is None
            issued = await site.invitations.link_again(who, InvitationId(body.id), to_install=to_install)
        return NewInvitationBody(**body.model_dump(), link=issued.link, mailed=site.door.desk.links.sends_mail)

    return await once(who, make, status=201, whole=with_link)
