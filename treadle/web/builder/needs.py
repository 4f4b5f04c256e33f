"""Which credentials an agent needs, and whether this install has them."""

from treadle.features.credentials.service import CredentialsSource, Wish
from treadle.features.graphs.credential_needs import CredentialNeed, credential_needs
from treadle.features.graphs.document import AgentFile
from treadle.sdk.credentials import AuthKind
from treadle.sdk.errors import CredentialsNeeded
from treadle.sdk.registry import Registry
from treadle.web.builder.bodies import CredentialNeedBody


def need_bodies(agent: AgentFile, registry: Registry, source: CredentialsSource) -> list[CredentialNeedBody]:
    """What the agent needs, sub-agents included. Raises ``ConfigurationError`` for a broken credentials file."""
    return [_body(need, source) for need in credential_needs(agent, registry)]


def _body(need: CredentialNeed, source: CredentialsSource) -> CredentialNeedBody:
    fix = _missing(need, source)
    return CredentialNeedBody(
        key=need.key,
        providers=list(need.providers),
        types=list(need.types),
        host=need.host,
        required=need.required,
        available=not fix,
        fix=fix,
    )


def _missing(need: CredentialNeed, source: CredentialsSource) -> str:
    """What a person has to do before there are credentials for the need; empty when there are."""
    wish = Wish(None, need.providers, tuple(AuthKind(kind) for kind in need.types), need.host)
    try:
        source.resolve(wish)
    except CredentialsNeeded as error:
        return f"{error.message}. {error.fix}"
    return ""
