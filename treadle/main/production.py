"""What an install that calls itself one for production must not have: secrets that everybody knows or can guess."""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from treadle.base.config import Settings, variable_names
from treadle.base.crypto import parsed_keys
from treadle.base.errors import ConfigurationError

_KNOWN = frozenset(
    {
        "admin",
        "change-me",
        "changeme",
        "default",
        "example",
        "password",
        "postgres",
        "secret",
        "supabase",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "treadle",
        "your-super-secret-and-long-postgres-password",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "your_jwt_secret",
    }
)
"""What examples and other people's manuals have."""
_SHORTEST = {"metrics_token": 16, "supabase_jwt_secret": 32}
_SHORTEST_PASSWORD = 8
_FEWEST_LETTERS = 5


def check_secrets(settings: Settings) -> None:
    """Raises ``ConfigurationError`` when a secret of an install for production is too weak. Elsewhere all may be."""
    if settings.environment == "production":
        for name, what in _weak(settings):
            variable = variable_names()[name]
            raise ConfigurationError(
                f"{variable} {what}, and TREADLE_ENVIRONMENT is production.",
                fix=f"Put a long random value into {variable}: `openssl rand -base64 32` makes one.",
            )


def _weak(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings whose secret is too weak, and what is wrong with it; never the secret."""
    for name, shortest in _SHORTEST.items():
        secret = _value(settings, name)
        if secret and (what := _problem(secret, shortest)):
            yield name, what
    for name in ("database_url", "database_engine_url", "database_api_url", "database_auth_url"):
        password = unquote(urlsplit(_value(settings, name)).password or "")
        if password and (what := _problem(password, _SHORTEST_PASSWORD)):
            yield name, f"has a password that {what}"
    for key in parsed_keys(_value(settings, "encryption_keys")):
        if len(set(key.material)) < _FEWEST_LETTERS:
            yield "encryption_keys", "holds a key that is easy to guess"


def _problem(secret: str, shortest: int) -> str:
    if secret.lower() in _KNOWN:
        return "is one that everybody knows"
    if len(secret) < shortest:
        return f"has fewer than {shortest} characters"
    return "is easy to guess" if len(set(secret)) < _FEWEST_LETTERS else ""


def _value(settings: Settings, name: str) -> str:
    secret: SecretStr = getattr(settings, name)
    return secret.get_secret_value()
