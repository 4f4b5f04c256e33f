"""Every setting of an installation, validated once at start."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from treadle.base.crypto import parsed_keys
from treadle.base.errors import ConfigurationError
from treadle.base.paths import default_home

_METADATA_HOSTS = frozenset(
    {
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
    }
)
"""Where clouds hand out credentials to whoever asks: AWS, Google Cloud, Azure, Alibaba, Oracle, DigitalOcean."""

_NUMERIC = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$")
"""Resolvers take such a name for an IPv4 address in one of its odd forms (WHATWG URL, "ends in a number")."""

_LARGEST = 2**31 - 1
_MOST_BYTES = 2**63 - 1
"""What the database can count."""
_COMMA_LISTS = ("egress_allow", "disabled_blocks", "shared_providers", "allowed_origins", "trusted_proxies")


class Settings(BaseSettings):
    """The settings, read from environment variables and the file ``.env``; ``.env.default`` describes each."""

    model_config = SettingsConfigDict(
        # Only by the variables' names: by the fields' names the system's own HOME would be our data folder.
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    home: Path = Field(default_factory=default_home, validation_alias="TREADLE_HOME")
    host: str = Field(default="127.0.0.1", validation_alias="TREADLE_HOST")
    port: int = Field(default=8006, ge=1, le=65535, validation_alias="TREADLE_PORT")
    public_url: str = Field(default="", validation_alias="PUBLIC_URL")
    database_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_URL")
    database_engine_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_ENGINE_URL")
    database_api_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_API_URL")
    database_auth_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_AUTH_URL")
    encryption_keys: SecretStr = Field(default=SecretStr(""), validation_alias="TREADLE_ENCRYPTION_KEYS")
    egress_allow: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias="TREADLE_EGRESS_ALLOW"
    )
    disabled_blocks: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias="TREADLE_DISABLED_BLOCKS"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", validation_alias="LOG_LEVEL"
    )
    log_format: Literal["json", "text", "auto"] = Field(default="auto", validation_alias="LOG_FORMAT")
    timezone: str = Field(default="UTC", validation_alias="TREADLE_TIMEZONE")
    max_firings: int = Field(default=1_000_000, ge=1, le=_LARGEST, validation_alias="TREADLE_MAX_FIRINGS")
    max_depth: int = Field(default=64, ge=1, le=1000, validation_alias="TREADLE_MAX_DEPTH")
    max_wall_seconds: int = Field(default=7 * 24 * 3600, ge=1, le=_LARGEST, validation_alias="TREADLE_MAX_WALL_SECONDS")
    max_stored_bytes: int = Field(
        default=10 * 1024**3, ge=1024, le=_MOST_BYTES, validation_alias="TREADLE_MAX_STORED_BYTES"
    )
    max_worker_deaths: int = Field(default=6, ge=3, le=100, validation_alias="TREADLE_MAX_WORKER_DEATHS")
    concurrent_runs_per_workspace: int = Field(
        default=25_000, ge=1, le=_LARGEST, validation_alias="TREADLE_CONCURRENT_RUNS_PER_WORKSPACE"
    )
    concurrent_runs_per_agent: int = Field(
        default=10_000, ge=1, le=_LARGEST, validation_alias="TREADLE_CONCURRENT_RUNS_PER_AGENT"
    )
    provider_rates: Annotated[Mapping[str, float], NoDecode] = Field(
        default_factory=dict, validation_alias="TREADLE_PROVIDER_RATES"
    )
    environment: Literal["local", "production"] = Field(default="local", validation_alias="TREADLE_ENVIRONMENT")
    allowed_origins: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias="TREADLE_ALLOWED_ORIGINS"
    )
    trusted_proxies: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias="TREADLE_TRUSTED_PROXIES"
    )
    rate_limits: Literal["auto", "keys", "everybody", "nobody"] = Field(
        default="auto", validation_alias="TREADLE_RATE_LIMITS"
    )
    rate_general: int = Field(default=100, ge=1, le=1_000_000, validation_alias="TREADLE_RATE_GENERAL")
    rate_starts: int = Field(default=20, ge=1, le=1_000_000, validation_alias="TREADLE_RATE_STARTS")
    rate_external: int = Field(default=60, ge=1, le=1_000_000, validation_alias="TREADLE_RATE_EXTERNAL")
    signup: Literal["open", "invited", "closed"] = Field(default="invited", validation_alias="TREADLE_SIGNUP")
    github_url: str = Field(default="https://github.com", validation_alias="SIGN_IN_GITHUB_URL")
    github_client_id: str = Field(default="", validation_alias="SIGN_IN_GITHUB_CLIENT_ID")
    github_client_secret: SecretStr = Field(default=SecretStr(""), validation_alias="SIGN_IN_GITHUB_CLIENT_SECRET")
    google_url: str = Field(default="https://accounts.google.com", validation_alias="SIGN_IN_GOOGLE_URL")
    google_client_id: str = Field(default="", validation_alias="SIGN_IN_GOOGLE_CLIENT_ID")
    google_client_secret: SecretStr = Field(default=SecretStr(""), validation_alias="SIGN_IN_GOOGLE_CLIENT_SECRET")
    supabase_url: str = Field(default="", validation_alias="SUPABASE_URL")
    supabase_jwt_secret: SecretStr = Field(default=SecretStr(""), validation_alias="SUPABASE_JWT_SECRET")
    smtp_host: str = Field(default="", validation_alias="SMTP_HOST")
    smtp_port: int = Field(default=587, ge=1, le=65535, validation_alias="SMTP_PORT")
    smtp_user: str = Field(default="", validation_alias="SMTP_USER")
    smtp_password: SecretStr = Field(default=SecretStr(""), validation_alias="SMTP_PASSWORD")
    smtp_from: str = Field(default="Treadle <treadle@localhost>", validation_alias="SMTP_FROM")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(default="starttls", validation_alias="SMTP_TLS")
    metrics_token: SecretStr = Field(default=SecretStr(""), validation_alias="METRICS_TOKEN")
    clamav_host: str = Field(default="127.0.0.1", validation_alias="CLAMAV_HOST")
    clamav_port: int = Field(default=3310, ge=1, le=65535, validation_alias="CLAMAV_PORT")
    scan_uploads: Literal["auto", "required", "if_available", "off"] = Field(
        default="auto", validation_alias="TREADLE_SCAN_UPLOADS"
    )
    file_max_bytes: int = Field(default=2 * 1024**3, ge=1, le=_MOST_BYTES, validation_alias="TREADLE_FILE_MAX_BYTES")
    file_quota_bytes: int = Field(
        default=10 * 1024**3, ge=1, le=_MOST_BYTES, validation_alias="TREADLE_FILE_QUOTA_BYTES"
    )
    file_quota_count: int = Field(default=10_000, ge=1, le=_LARGEST, validation_alias="TREADLE_FILE_QUOTA_COUNT")
    file_keep_hours: int = Field(default=0, ge=0, le=24 * 36_500, validation_alias="TREADLE_FILE_KEEP_HOURS")
    shared_providers: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias="TREADLE_SHARED_PROVIDERS"
    )
    embeddings_url: str = Field(default="", validation_alias="TREADLE_EMBEDDINGS_URL")
    embeddings_key: SecretStr = Field(default=SecretStr(""), validation_alias="TREADLE_EMBEDDINGS_KEY")
    embeddings_model: str = Field(default="text-embedding-3-small", validation_alias="TREADLE_EMBEDDINGS_MODEL")
    keep_days: int = Field(default=0, ge=0, le=36_500, validation_alias="TREADLE_KEEP_DAYS")
    deleted_workspace_days: int = Field(default=30, ge=0, le=36_500, validation_alias="TREADLE_DELETED_WORKSPACE_DAYS")

    @property
    def embedded_database(self) -> bool:
        """Whether Treadle runs its own PostgreSQL."""
        return not self.database_url.get_secret_value()

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        "egress_allow", "disabled_blocks", "shared_providers", "allowed_origins", "trusted_proxies", mode="before"
    )
    @classmethod
    def _comma_list(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("provider_rates", mode="before")
    @classmethod
    def _rates(cls, value: object) -> object:
        return _parsed_rates(value) if isinstance(value, str) else value

    @field_validator("egress_allow")
    @classmethod
    def _exact_places(cls, value: frozenset[str]) -> frozenset[str]:
        return frozenset(_checked_place(place) for place in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: frozenset[str]) -> frozenset[str]:
        for each in value:
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError(f"{each!r} must be an address or a network, such as 10.0.0.0/8") from None
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _exact_origins(cls, value: frozenset[str]) -> frozenset[str]:
        for each in value:
            parts = urlsplit(each)
            if parts.scheme not in ("http", "https") or not parts.netloc or each != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{each!r} must be one exact origin, such as https://agents.example.org")
        return value

    @field_validator("public_url", "embeddings_url", "github_url", "google_url", "supabase_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("it must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("database_url", "database_engine_url", "database_api_url", "database_auth_url")
    @classmethod
    def _postgres_address(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _is_postgres_address(value.get_secret_value()):
            raise ValueError("it must look like postgresql://user:password@host:5432/database")
        return value

    @field_validator("github_client_secret", "google_client_secret")
    @classmethod
    def _as_it_is_sent(cls, value: SecretStr) -> SecretStr:
        # No redirect may carry it elsewhere, which is told by its own letters.
        if not re.fullmatch(r"[\w.~-]*", value.get_secret_value(), re.ASCII):
            raise ValueError("it holds characters that no client secret has")
        return value

    @field_validator("supabase_jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value().encode()) < 32:
            raise ValueError("it must have at least 32 characters, as every project's has")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _keys(cls, value: SecretStr) -> SecretStr:
        parsed_keys(value.get_secret_value())
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("it must be a name such as Europe/Berlin or UTC") from error
        return value


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and ``.env``; arguments (field names) win over both.

    Raises ConfigurationError that names the variable, the bad value and what is accepted.
    """
    variables = variable_names()
    try:
        return Settings(**{variables.get(name, name): value for name, value in overrides.items()})
    except ValidationError as error:
        raise _first_problem(error) from None


def variable_names() -> dict[str, str]:
    """The environment variable of each field of ``Settings``."""
    return {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}


def _first_problem(error: ValidationError) -> ConfigurationError:
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    variable = variable_names().get(name, name)
    secret = variable.startswith(("DATABASE_", "TREADLE_ENCRYPTION_")) or variable.endswith("_SECRET")
    shown = "(hidden)" if secret else repr(problem["input"])
    message = problem["msg"].removeprefix("Value error, ")
    reason = message[0].lower() + message[1:]  # names in it stay as they must be written
    return ConfigurationError(
        f"The setting {variable} has the value {shown}, which cannot be used: {reason}.",
        fix=f"Correct {variable} in the environment or in the file .env; .env.default describes it.",
    )


def _is_postgres_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("postgresql", "postgres") and (parts.port or 1) > 0
    except ValueError:
        return False


def _parsed_rates(text: str) -> dict[str, float]:
    """``github=10,openai=2.5``: calls a second for each account of a provider."""
    rates: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        provider, _, rate = part.partition("=")
        try:
            rates[provider.strip()] = float(rate)
        except ValueError:
            raise ValueError("it must look like github=10,openai=2.5 (calls a second)") from None
        if not 0 < rates[provider.strip()] <= 1_000_000:
            raise ValueError("every rate must be above 0 and at most 1,000,000 calls a second")
    return rates


def _checked_place(place: str) -> str:
    """One exact ``host:port`` (IPv6 in brackets); never an address at which a cloud hands out credentials."""
    host, separator, port = place.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{place!r} is not host:port, such as 192.168.1.20:11434")
    bare = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if "*" in bare or "/" in bare or not bare:
        raise ValueError(f"{place!r} must be one exact host, without wildcards or ranges")
    if _NUMERIC.search(bare) and not _is_address(bare):
        raise ValueError(f"{place!r} must write an address in its usual form, such as 192.168.1.20")
    if (":" in bare) != host.startswith("["):
        raise ValueError(f"{place!r} must write an IPv6 address in brackets, such as [fd00::5]:8080")
    if _is_metadata(bare):
        raise ValueError(f"{place!r} is a cloud's metadata address, which is never allowed")
    return f"[{bare}]:{int(port)}" if ":" in bare else f"{bare}:{int(port)}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_metadata(host: str) -> bool:
    if host in _METADATA_HOSTS:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_link_local or str(address) in _METADATA_HOSTS
