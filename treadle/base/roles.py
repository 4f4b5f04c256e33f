"""The four database roles, none a superuser, and what the embedded server holds from its first start.

See docs/decisions/database-roles.md.
"""

import asyncpg

SUPERUSER = "postgres"
"""Of the embedded server only: makes what follows, and backups."""
OWNER = "treadle_owner"
ENGINE = "treadle_engine"
API = "treadle_api"
AUTH = "treadle_auth"
DATABASE = "treadle"
EXTENSIONS = ("vector", "pg_trgm")

_PREPARING = 0x74726561
ATTRIBUTES = {
    OWNER: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
    ENGINE: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS",
    API: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
    AUTH: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
}


async def prepare_embedded(superuser_dsn: str, treadle_dsn: str) -> None:
    """Make what is missing of the roles, the database and its extensions; both addresses are the superuser's."""
    connection = await asyncpg.connect(superuser_dsn)
    try:
        # Processes that start at once take turns; the lock ends with the connection.
        await connection.execute(f"SELECT pg_advisory_lock({_PREPARING})")
        await _make_roles(connection)
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        await _make_extensions(treadle_dsn)
    finally:
        await connection.close()


def superuser_address(owner_dsn: str) -> str:
    """The address of the embedded server's superuser for the same database."""
    return owner_dsn.replace(f"//{OWNER}@", f"//{SUPERUSER}@")


async def _make_roles(connection: asyncpg.Connection) -> None:
    found = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    for role, attributes in ATTRIBUTES.items():
        if role not in found:
            await connection.execute(f"CREATE ROLE {role} {attributes}")


async def _make_extensions(treadle_dsn: str) -> None:
    connection = await asyncpg.connect(treadle_dsn)
    try:
        found = {row["extname"] for row in await connection.fetch("SELECT extname FROM pg_extension")}
        for extension in EXTENSIONS:
            if extension not in found:
                await connection.execute(f"CREATE EXTENSION {extension}")
    finally:
        await connection.close()
