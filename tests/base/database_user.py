"""A process that uses the database of a data folder until a line comes in or the input ends; a tool for tests."""

import asyncio
import sys

from treadle.base.config import load_settings
from treadle.base.database import running_database


async def _main(home: str) -> None:
    async with running_database(load_settings(_env_file=None, home=home, database_url="")) as urls:
        print(urls.owner, flush=True)
        await asyncio.to_thread(sys.stdin.readline)


asyncio.run(_main(sys.argv[1]))
