"""A PostgreSQL server that somebody else runs: what Treadle needs of it, checked and said in one sentence."""

import base64
import hashlib
import hmac
import logging
import os
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from treadle.base.config import Settings
from treadle.base.errors import ConfigurationError
from treadle.base.logging import mask_secret
from treadle.base.roles import API, ATTRIBUTES, AUTH, ENGINE, EXTENSIONS, OWNER

OLDEST_SERVER = 160_000
"""PostgreSQL 16, as ``server_version_num``."""

_CONNECT_SECONDS = 10.0
_HASH_ROUNDS = 4096
_log = logging.getLogger(__name__)


async def prepare_external(settings: Settings) -> tuple[str, str, str, str]:
    """The addresses for the owner, the engine, the api and the accounts, after making what is missing.

    A superuser in DATABASE_URL is used for this only: the schema then belongs to the role ``treadle_owner``.
    Raises ConfigurationError when the server cannot be used as it is.
    """
    given = settings.database_url.get_secret_value()
    mask_secret(_password(given))
    connection = await _open(given, "DATABASE_URL")
    try:
        _check_version(connection)
        await _ensure_extensions(connection)
        owner = given
        if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            owner = await _ensure_owner(connection, given)
        engine = await _ensure_role(connection, given, ENGINE, settings.database_engine_url.get_secret_value())
        api = await _ensure_role(connection, given, API, settings.database_api_url.get_secret_value())
        auth = await _ensure_role(connection, given, AUTH, settings.database_auth_url.get_secret_value())
    finally:
        await connection.close()
    return owner, engine, api, auth


async def _open(dsn: str, variable: str) -> asyncpg.Connection:
    """Connect, or say what is wrong with the variable that the address came from."""
    where = _place(dsn)
    try:
        return await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS)
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise ConfigurationError(
            f"The PostgreSQL server at {where} refuses the user or password of {variable}.",
            fix=f"Correct the user and password in {variable}.",
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise ConfigurationError(
            f"The PostgreSQL server at {where} has no database of the name in {variable}.",
            fix=f"Create it (CREATE DATABASE), or correct {variable}.",
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(
            f"The PostgreSQL server at {where} does not accept the connection of {variable}: {error}.",
            fix=f"Correct {variable}, or the server's settings.",
        ) from error
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigurationError(
            f"No PostgreSQL server answers at {where}: {str(error) or 'no answer in time'}.",
            fix=f"Start the server or correct {variable}; leave DATABASE_URL empty to use the embedded PostgreSQL.",
        ) from error


def _check_version(connection: asyncpg.Connection) -> None:
    found = connection.get_server_version()
    if found.major * 10_000 < OLDEST_SERVER:
        raise ConfigurationError(
            f"The PostgreSQL server of DATABASE_URL has version {found.major}, but Treadle needs 16 or newer.",
            fix="Upgrade the server, or leave DATABASE_URL empty to use the embedded PostgreSQL.",
        )


async def _ensure_extensions(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT name, installed_version FROM pg_available_extensions")
    offered = {row["name"]: row["installed_version"] for row in rows}
    for extension in EXTENSIONS:
        if extension not in offered:
            package = "pgvector" if extension == "vector" else "PostgreSQL's contrib modules"
            raise ConfigurationError(
                f"The PostgreSQL server of DATABASE_URL has no extension {extension}.",
                fix=f"Install {package} on that server, or leave DATABASE_URL empty to use the embedded PostgreSQL.",
            )
        if offered[extension] is None:
            await _as_administrator(connection, f"CREATE EXTENSION IF NOT EXISTS {extension}")


async def _ensure_owner(connection: asyncpg.Connection, given: str) -> str:
    """An owner that is no superuser, which may make things in the database of the address."""
    owner = await _ensure_role(connection, given, OWNER, "")
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"GRANT CREATE ON DATABASE {database} TO {OWNER}")
    await connection.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER}")
    return owner


async def _ensure_role(connection: asyncpg.Connection, given: str, role: str, own_address: str) -> str:
    """The address of a role, checked: its own if there is one, else made from DATABASE_URL."""
    if own_address:
        variable = f"DATABASE_{role.removeprefix('treadle_').upper()}_URL"
        mask_secret(_password(own_address))
        await _check_role(own_address, role, variable)
        return own_address
    address = role_address(given, role)
    mask_secret(_password(address))
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await _as_administrator(connection, f"CREATE ROLE {role} {ATTRIBUTES[role]}{_password_clause(address)}")
        _log.info("Made the database role %s", role)
    try:
        await _check_role(address, role, "DATABASE_URL")
    except ConfigurationError:
        # The password of DATABASE_URL has changed since the role was made, or somebody else made it.
        await _as_administrator(connection, f"ALTER ROLE {role} {_password_clause(address) or 'LOGIN'}")
        await _check_role(address, role, "DATABASE_URL")
    return address


async def _check_role(dsn: str, role: str, variable: str) -> None:
    connection = await _open(dsn, variable)
    try:
        found = await connection.fetchrow(
            "SELECT rolname::text, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
    if found is None or found["rolname"] != role:
        raise ConfigurationError(
            f"{variable} must name the role {role}, because the tables are granted to it.",
            fix=f"Put the user {role} into {variable}.",
        )
    if found["rolsuper"] or found["rolbypassrls"] != (role == ENGINE):
        raise ConfigurationError(
            f"The database role {role} has the wrong rights.",
            fix=f"Run as an administrator: ALTER ROLE {role} {ATTRIBUTES[role]}",
        )


async def _as_administrator(connection: asyncpg.Connection, statement: str) -> None:
    """Run what may need more rights than the owner has; else say what to run."""
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        shown = statement.split(" PASSWORD ")[0]
        raise ConfigurationError(
            f"The user of DATABASE_URL may not run `{shown}`: {error}.",
            fix=f"Run `{shown}` in this database as an administrator. A role that you make yourself needs its "
            "password in DATABASE_ENGINE_URL, DATABASE_API_URL or DATABASE_AUTH_URL.",
        ) from error


def role_address(given: str, role: str) -> str:
    """The address for another role: its password follows from the owner's, so that none has to be kept anywhere."""
    parts = urlsplit(given)
    place = parts.netloc.rpartition("@")[2]
    password = _password(given)
    user = role
    if password:
        derived = hmac.new(password.encode(), f"treadle role {role}".encode(), hashlib.sha256).digest()
        user = f"{role}:{quote(base64.urlsafe_b64encode(derived).decode(), safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{place}"))


def _password_clause(address: str) -> str:
    password = _password(address)
    return f" PASSWORD '{scram_verifier(password, os.urandom(16))}'" if password else ""


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores for a password (RFC 5803); sending this keeps the password out of the server's log."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _HASH_ROUNDS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_HASH_ROUNDS}:{shown[0]}${shown[1]}:{shown[2]}"


def _password(dsn: str) -> str:
    return unquote(urlsplit(dsn).password or "")


def _place(dsn: str) -> str:
    """Host and port for a message: never the user or the password."""
    parts = urlsplit(dsn)
    return parts.netloc.rpartition("@")[2] or "the local socket"
