"""News feeds: new entries once each, across waits, failures and crashes."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from treadle.blocks.feed_reader import read_in_worker
from treadle.blocks.feeds import read_rss_feed
from treadle.sdk.context import Context, Decision, Suspend
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.testing import EPOCH, ScriptedReply, make_context, run_block

OLD = "Mon, 01 Dec 2025 00:00:00 GMT"
NEW = "Wed, 31 Dec 2025 20:00:00 +0100"


def feed(*entries: tuple[str, str]) -> str:
    items = "".join(
        f"<item><title>{name}</title><link>https://x.test/{name}</link><guid>{name}</guid>"
        f"<category>news</category><pubDate>{date}</pubDate></item>"
        for name, date in entries
    )
    return f'<rss version="2.0"><channel><title>T</title>{items}</channel></rss>'


def inputs(**changes: Any) -> dict[str, Any]:
    return {"rss_url": "https://x.test/feed", "polling_rate": 60, **changes}


async def look(context: Context) -> tuple[list[str], Suspend]:
    """One look at the feed; the titles sent one by one, and the wish to wait."""
    sent = []
    with pytest.raises(Suspend) as wish:
        async for pin, value in read_rss_feed.run(read_rss_feed.reader.read(inputs()), context):
            sent.append(value["title"] if pin == "entry" else f"all {len(value)}")
    return sent, wish.value


async def test_one_look() -> None:
    context = make_context(http=[lambda request: feed(("a", NEW), ("b", OLD))])
    first, rest = await run_block(read_rss_feed, inputs(run_continuously=False), context)
    assert first == (
        "entry",
        {
            "title": "a",
            "link": "https://x.test/a",
            "description": "",
            "pub_date": "2025-12-31T19:00:00+00:00",
            "author": "",
            "categories": ["news"],
        },
    )
    assert rest == ("entries", [first[1]])


async def test_later_looks_send_only_what_is_new() -> None:
    answers = [feed(("a", NEW)), feed(("a", NEW)), feed(("b", NEW), ("a", NEW))]
    context = make_context(http=[lambda request, answer=answer: answer for answer in answers])
    sent, wish = await look(context)
    assert sent == ["a", "all 1"]
    assert wish.until == EPOCH + timedelta(seconds=60)
    for emitted, expected in ((2, []), (2, ["b", "all 1"])):
        context.decision, context.resume, context.emitted = Decision(), wish.payload, emitted
        sent, wish = await look(context)
        assert sent == expected


async def test_a_crash_in_the_middle_of_a_look_goes_on_after_what_was_sent() -> None:
    context = make_context(http=[lambda request: feed(("a", NEW), ("b", NEW))], emitted=1)
    assert (await look(context))[0] == ["b", "all 2"]


async def test_passing_failures_of_later_looks_are_waited_out_but_not_for_ever() -> None:
    context = make_context(http=[lambda request: feed(("a", NEW))])
    _, wish = await look(context)
    for _ in range(10):
        context = make_context(
            http=[lambda request: ScriptedReply("", status=503)], decision=Decision(), resume=wish.payload, emitted=2
        )
        sent, wish = await look(context)
        assert sent == []
    context = make_context(
        http=[lambda request: ScriptedReply("", status=503)], decision=Decision(), resume=wish.payload, emitted=2
    )
    with pytest.raises(RetryLater):
        await run_block(read_rss_feed, inputs(), context)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ScriptedReply("", status=404), "status 404"),
        (ScriptedReply("no feed"), "neither RSS nor Atom"),
        (ScriptedReply('<!DOCTYPE x [<!ENTITY a "lol">]><rss version="2.0"/>'), "entities"),
        (ScriptedReply('<!DOCTYPE x [<!ENTITY a "lol">]><rss version="2.0"/>'.encode("utf-16")), "entities"),
        (ScriptedReply("/etc/passwd"), "neither RSS nor Atom"),
    ],
)
async def test_what_is_no_feed(answer: ScriptedReply, said: str) -> None:
    with pytest.raises(BlockError, match=said):
        await run_block(read_rss_feed, inputs(), make_context(http=[lambda request: answer]))


def test_atom_and_entries_without_dates() -> None:
    text = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><id>1</id><title>a</title>'
        '<summary type="html">&lt;script&gt;x&lt;/script&gt;ok</summary></entry></feed>'
    )
    (entry,) = read_in_worker(base64.b64encode(text.encode()).decode())["entries"]
    assert (entry["id"], entry["title"], entry["pub_date"]) == ("1", "a", None)
    assert "script" not in entry["description"]
