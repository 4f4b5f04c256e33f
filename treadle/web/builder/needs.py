"""Which credentials an agent needs, and whether this install has them."""

from treadle.features.credentials.offers import Offers, Wish
from treadle.features.graphs.credential_needs import CredentialNeed, credential_needs
from treadle.features.graphs.document import AgentFile
from treadle.sdk.credentials import AuthKind
from treadle.sdk.errors import CredentialsNeeded
from treadle.sdk.registry import Registry
from treadle.web.builder.bodies import CredentialNeedBody


def need_bodies(agent: AgentFile, registry: Registry, offers: Offers) -> list[CredentialNeedBody]:
    """What the agent needs, sub-agents included, and whether that is among the credentials on offer."""
    return [_body(need, offers) for need in credential_needs(agent, registry)]


def _body(need: CredentialNeed, offers: Offers) -> CredentialNeedBody:
    fix = _missing(need, offers)
    return CredentialNeedBody(
        key=need.key,
        providers=list(need.providers),
        types=list(need.types),
        host=need.host,
        required=need.required,
        available=not fix,
        fix=fix,
    )


def _missing(need: CredentialNeed, offers: Offers) -> str:
    """What a person has to do before there are credentials for the need; empty when there are."""
    wish = Wish(None, need.providers, tuple(AuthKind(kind) for kind in need.types), need.host)
    try:
        offers.choose(wish)
    except CredentialsNeeded as error:
        return f"{error.message}. {error.fix}"
    return ""
