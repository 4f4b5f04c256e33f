"""What blocks hand to worker processes is on the allow-list, and works there under the real limits."""

import base64
import re
from pathlib import Path

import pytest

import treadle
from tests.blocks.test_spreadsheets import PEOPLE
from treadle.blocks.catalogue import WORKER_FUNCTIONS
from treadle.blocks.feed_reader import MAX_ENTRIES
from treadle.blocks.feeds import read_rss_feed
from treadle.blocks.spreadsheets import read_spreadsheet
from treadle.blocks.xml import parse_xml
from treadle.sdk.compute import ComputePool
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import make_context, run_block

BOMB = '<rss version="2.0"><channel>' + "<item>" * 20_000


def test_the_list_is_what_the_code_calls() -> None:
    root = Path(treadle.__file__).parent
    modules = [*(root / "blocks").rglob("*.py"), *(root / "sdk").glob("*.py")]
    called = {
        found
        for each in modules
        if each.name != "catalogue.py"
        for found in re.findall(r'"(treadle\.[a-z_.]+:[a-z_]+)"', each.read_text())
    }
    assert called == set(WORKER_FUNCTIONS)


async def test_the_functions_work_in_a_worker() -> None:
    async with ComputePool(WORKER_FUNCTIONS, workers=1) as compute:
        context = make_context(compute=compute, files={"p.xlsx": PEOPLE})
        ((_, rows),) = await run_block(read_spreadsheet, {"file_input": "p.xlsx"}, context)
        assert rows[1] == {"name": "Alan", "age": "41.5"}
        ((_, rows),) = await run_block(read_spreadsheet, {"contents": "a\n" + "1\n" * 30_000}, context)
        assert len(rows) == 30_000
        text = f"<a>{'<b/>' * 5_000}</a>"
        ((_, parsed),) = await run_block(parse_xml, {"input_xml": text}, context)
        assert len(parsed["a"]) == 5_000
        feed = '<rss version="2.0"><channel><item><title>t</title></item></channel></rss>'
        content = base64.b64encode(feed.encode()).decode()
        answer = await compute.call("treadle.blocks.feed_reader:read_in_worker", content, seconds=30.0, megabytes=512)
        assert answer["entries"][0]["title"] == "t"


async def test_a_hostile_feed_ends_within_its_limits() -> None:
    async with ComputePool(WORKER_FUNCTIONS, workers=1) as compute:
        context = make_context(compute=compute, http=[lambda request: BOMB])
        inputs = {"rss_url": "https://x.test", "polling_rate": 1, "run_continuously": False}
        outputs = await run_block(read_rss_feed, inputs, context)
        assert len(outputs) <= MAX_ENTRIES + 1


@pytest.mark.parametrize("content", [b"PK\x03\x04" + b"\x00" * 1000, PEOPLE[:400]])
async def test_broken_workbooks_break_no_worker(content: bytes) -> None:
    async with ComputePool(WORKER_FUNCTIONS, workers=1) as compute:
        context = make_context(compute=compute, files={"b.xlsx": content, "p.xlsx": PEOPLE})
        with pytest.raises(BlockError, match="not a spreadsheet"):
            await run_block(read_spreadsheet, {"file_input": "b.xlsx"}, context)
        assert await run_block(read_spreadsheet, {"file_input": "p.xlsx"}, context)
