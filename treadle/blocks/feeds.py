"""News feeds."""

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context, Suspend
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.pins import Inputs, Outputs, pin

MAX_FEED_BYTES = 10_000_000
SHORTEST_PAUSE = 10
"""Seconds between two looks at a feed, at least."""
_MOST_REMEMBERED = 3_000
_MOST_FAILURES = 10


class Feed(Inputs):
    """Pins of the feed reader."""

    rss_url: str = pin("The address of the RSS or Atom feed.", placeholder="https://example.com/feed.xml")
    time_period: int = pin("How many minutes back entries count as new at the first look.", default=1440)
    polling_rate: int = pin(f"Seconds between two looks; at least {SHORTEST_PAUSE}.")
    run_continuously: bool = pin("Keep looking for new entries; else look once.", default=True)


class FeedEntry(BaseModel):
    """One entry of a feed."""

    title: str = Field(description="The headline.")
    link: str = Field(description="Where the whole article is.")
    description: str = Field(description="The summary.")
    pub_date: datetime | None = Field(description="When it was published, if the feed says so.")
    author: str = Field(description="Who wrote it.")
    categories: list[str] = Field(description="What it is about.")


class FeedEntries(Outputs):
    """New entries of the feed."""

    entry: FeedEntry = pin("Each new entry.")
    entries: list[FeedEntry] = pin("All new entries of one look.")


@block(
    id="5ebe6768-8e5d-41e3-9134-1c7bd89a8d52",
    name="ReadRSSFeedBlock",
    title="Read RSS Feed",
    outputs=FeedEntries,
    work=Work.READ,
    streaming=True,
    resumable=True,
    categories=("INPUT",),
    examples=(
        Example(
            {"rss_url": "https://example.com/feed", "polling_rate": 300, "run_continuously": False},
            [("entries", [])],
            title="A feed without new entries",
            context={"http": [lambda request: '<rss version="2.0"><channel><title>News</title></channel></rss>']},
        ),
    ),
)
async def read_rss_feed(inputs: Feed, ctx: Context) -> Stream:
    """Send the new entries of a news feed; once, or again and again as they appear. Each entry is sent once."""
    state = dict(ctx.resume or {}) if ctx.decision is not None else {}
    since = state.get("since") or (ctx.clock.now() - timedelta(minutes=inputs.time_period)).isoformat()
    seen: list[str] = list(state.get("seen", []))
    failures = 0
    emitted = int(state.get("emitted", 0))
    try:
        found = await _entries(inputs.rss_url, ctx)
    except RetryLater:
        failures = int(state.get("failures", 0)) + 1
        if not inputs.run_continuously or failures > _MOST_FAILURES or not state:
            raise
        found = []
    new = [each for each in found if _is_new(each, since, seen)]
    seen = [*seen, *(_mark(each) for each in new)][-_MOST_REMEMBERED:]
    outputs = _outputs(new, first=not state)
    for emission in outputs[max(0, ctx.emitted - emitted) :]:
        yield emission
    if inputs.run_continuously:
        pause = max(inputs.polling_rate, SHORTEST_PAUSE)
        state = {"since": since, "seen": seen, "emitted": emitted + len(outputs), "failures": failures}
        raise Suspend("timer", state, ctx.clock.now() + timedelta(seconds=pause))


def _outputs(new: list[dict[str, Any]], *, first: bool) -> list[tuple[str, Any]]:
    """Each entry, then all of them; later looks that find nothing send nothing."""
    shown = [{name: value for name, value in each.items() if name != "id"} for each in new]
    return [("entry", each) for each in shown] + ([("entries", shown)] if shown or first else [])


def _is_new(entry: dict[str, Any], since: str, seen: list[str]) -> bool:
    """An entry without a date is new the first time it is seen."""
    recent = not entry["pub_date"] or datetime.fromisoformat(entry["pub_date"]) > datetime.fromisoformat(since)
    return recent and _mark(entry) not in seen


def _mark(entry: dict[str, Any]) -> str:
    return hashlib.sha256(entry["id"].encode(errors="replace")).hexdigest()[:16]


async def _entries(url: str, ctx: Context) -> list[dict[str, Any]]:
    reply = await ctx.http.request("GET", url, max_bytes=MAX_FEED_BYTES)
    if reply.status == 429 or reply.status >= 500:
        raise RetryLater(f"The feed's server answered with status {reply.status}.", fix="Try again later.")
    if not 200 <= reply.status < 300:
        raise BlockError(f"The feed's server answered with status {reply.status}.", fix="Check the feed's address.")
    content = base64.b64encode(reply.body).decode()
    answer = await ctx.compute.call("treadle.blocks.feed_reader:read_in_worker", content, seconds=30.0, megabytes=512)
    if "fault" in answer:
        raise BlockError(f"The feed cannot be read: {answer['fault']}.", fix="Give the address of an RSS or Atom feed.")
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


BLOCKS = (read_rss_feed,)
