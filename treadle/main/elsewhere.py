"""Who else vouches for people on an install: the providers and the Supabase project of the settings."""

from collections.abc import Iterator

from pydantic import SecretStr

from treadle.base.clock import Clock
from treadle.base.config import Settings
from treadle.base.errors import ConfigurationError
from treadle.features.accounts.providers.github import GitHub
from treadle.features.accounts.providers.google import Google
from treadle.features.accounts.providers.provider import Provider
from treadle.features.accounts.supabase import supabase_project
from treadle.features.accounts.tokens import Issuer
from treadle.sdk.context import Http


def providers_of(settings: Settings, http: Http, clock: Clock) -> Iterator[Provider]:
    """The providers through which people can sign in. Nothing is asked of them before somebody does.

    Raises:
        ConfigurationError: one has an id without a secret, or a secret without an id.
    """
    if _is_on("SIGN_IN_GITHUB", settings.github_client_id, settings.github_client_secret):
        yield GitHub(http, settings.github_url, settings.github_client_id, settings.github_client_secret)
    if _is_on("SIGN_IN_GOOGLE", settings.google_client_id, settings.google_client_secret):
        yield Google(http, settings.google_url, settings.google_client_id, settings.google_client_secret, clock)


def _is_on(name: str, id: str, secret: SecretStr) -> bool:
    if bool(id) != bool(secret.get_secret_value()):
        there, missing = ("ID", "SECRET") if id else ("SECRET", "ID")
        raise ConfigurationError(
            f"{name}_CLIENT_{there} is set, and {name}_CLIENT_{missing} is not.",
            fix="Set both, with what the provider shows for your app, or none of them.",
        )
    return bool(id)


def other_issuers(settings: Settings, http: Http, clock: Clock, own: str) -> Iterator[Issuer]:
    """Others whose tokens are accepted; ``own`` is the name under which this install issues its own.

    Raises:
        ConfigurationError: the project is this install itself, or there is a secret of none.
    """
    if not settings.supabase_url:
        if settings.supabase_jwt_secret.get_secret_value():
            raise ConfigurationError(
                "SUPABASE_JWT_SECRET is set, and SUPABASE_URL is not.",
                fix="Set SUPABASE_URL to the address of the project, such as https://abc.supabase.co.",
            )
        return
    project = supabase_project(http, settings.supabase_url, settings.supabase_jwt_secret, clock)
    if project.name == own:
        raise ConfigurationError(
            "SUPABASE_URL is the address of this installation itself.",
            fix="Leave it empty: what this installation issues is accepted anyway.",
        )
    yield project
