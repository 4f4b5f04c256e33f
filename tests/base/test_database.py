import asyncpg

from treadle.base.database import DatabaseUrls


async def test_each_address_connects_as_its_role(database: DatabaseUrls) -> None:
    for dsn, role in (
        (database.owner, "treadle_owner"),
        (database.engine, "treadle_engine"),
        (database.api, "treadle_api"),
    ):
        connection = await asyncpg.connect(dsn)
        try:
            assert await connection.fetchval("SELECT current_user") == role
        finally:
            await connection.close()
