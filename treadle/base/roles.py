"""The three database roles, none a superuser, and what the embedded server holds from its first start.

See docs/decisions/database-roles.md.
"""

import asyncpg

OWNER = "treadle_owner"
ENGINE = "treadle_engine"
API = "treadle_api"
DATABASE = "treadle"
EXTENSIONS = ("vector", "pg_trgm")

ATTRIBUTES = {
    OWNER: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
    ENGINE: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS",
    API: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
}


async def prepare_embedded(superuser_dsn: str, treadle_dsn: str) -> None:
    """Make what is missing of the roles, the database and its extensions; both addresses are the superuser's."""
    connection = await asyncpg.connect(superuser_dsn)
    try:
        await _make_roles(connection)
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    finally:
        await connection.close()
    await prepare_database(treadle_dsn)


async def prepare_database(dsn: str) -> None:
    """Make the extensions in one database, with a role that may."""
    connection = await asyncpg.connect(dsn)
    try:
        await _make_extensions(connection)
    finally:
        await connection.close()


async def _make_roles(connection: asyncpg.Connection) -> None:
    found = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    for role, attributes in ATTRIBUTES.items():
        if role not in found:
            await connection.execute(f"CREATE ROLE {role} {attributes}")


async def _make_extensions(connection: asyncpg.Connection) -> None:
    found = {row["extname"] for row in await connection.fetch("SELECT extname FROM pg_extension")}
    for extension in EXTENSIONS:
        if extension not in found:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
