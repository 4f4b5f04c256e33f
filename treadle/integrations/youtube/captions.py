"""Reads captions as YouTube's own players do; there is no public API for the captions of other people's videos.

Page, then player description, then caption file. The protocol was taken from the MIT-licensed library
youtube-transcript-api, which cannot be used itself because it brings its own network client.
"""

import contextlib
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from treadle.integrations.youtube.manifest import INTEGRATION
from treadle.sdk.client import Call, Client, get, post
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused, RetryLater
from treadle.sdk.provider_urls import pasted
from treadle.sdk.shapes import at

HOSTS = ("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "youtu.be", "www.youtube-nocookie.com")
PLAYER = {"client": {"clientName": "ANDROID", "clientVersion": "20.10.38"}}

_TRIES_THROUGH_PROXY = 5
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_KEY = re.compile(r'"INNERTUBE_API_KEY":\s*"([A-Za-z0-9_-]+)"')
_CONSENT = re.compile(r'name="v" value="([^"]{1,100})"')
_TAG = re.compile(r"<[^>]*>")

PAGE = get("/watch", params={"v": "{video}"}, headers={"Accept-Language": "en-US"}, text=True, anonymous=True)
DESCRIPTION = post(
    "/youtubei/v1/player",
    params={"key": "{key}"},
    body={"context": PLAYER, "videoId": "{video}"},
    headers={"Accept-Language": "en-US"},
    anonymous=True,
)


def video_id(url: str) -> str:
    """The id in any of the addresses of a video.

    Raises:
        InputRefused: it is not one.
    """
    text = url.strip()
    if _ID.fullmatch(text):
        return text
    parts = pasted(text, HOSTS)
    if parts is not None:
        words = [*parse_qs(parts.query).get("v", []), *reversed(parts.path.split("/"))]
        found = next((word for word in words if _ID.fullmatch(word)), None)
        if found:
            return found
    raise InputRefused(
        {"youtube_url": f"{url[:200]!r} is not the address of a YouTube video"},
        fix="Give an address like https://www.youtube.com/watch?v=dQw4w9WgXcQ.",
    )


async def transcript(ctx: Context, video: str) -> str:
    """The captions of a video, line by line: English if there are any, else its first language.

    With a proxy account each try comes from another address, so a few are made.

    Raises:
        BlockError: the video has no captions, or cannot be played.
        RetryLater: YouTube asks to prove that no robot is reading.
    """
    youtube = Client(INTEGRATION, ctx)
    for _ in range(_TRIES_THROUGH_PROXY - 1 if ctx.credentials else 0):
        with contextlib.suppress(RetryLater):
            return await _read(youtube, video)
    return await _read(youtube, video)


async def _read(youtube: Client, video: str) -> str:
    page = await _page(youtube, video)
    key = _KEY.search(page)
    if key is None:
        raise _blocked(video)
    description = await youtube.call(DESCRIPTION, {"video": video, "key": key[1]})
    track = best_track(_tracks(video, description))
    return lines_of(await youtube.call(_file_call(track["baseUrl"])))


async def _page(youtube: Client, video: str) -> str:
    """The video's page; in Europe YouTube first asks for consent, which is given as its own button does."""
    page = html.unescape(await youtube.call(PAGE, {"video": video}))
    consent = _CONSENT.search(page) if "https://consent.youtube.com/s" in page else None
    if consent is None:
        return page
    again = get(
        PAGE.path, params=PAGE.params, headers={"Cookie": f"CONSENT=YES+{consent[1]}"}, text=True, anonymous=True
    )
    return html.unescape(await youtube.call(again, {"video": video}))


def _tracks(video: str, description: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    status = at("playabilityStatus.status", description) or "OK"
    if status == "LOGIN_REQUIRED":
        raise _blocked(video)
    if status != "OK":
        reason = at("playabilityStatus.reason", description) or status
        raise BlockError(f"YouTube does not play {video}: {reason}", fix="Check the address in a browser.")
    tracks = at("captions.playerCaptionsTracklistRenderer.captionTracks", description)
    if not tracks:
        raise BlockError(f"The video {video} has no captions", fix="Choose a video with captions.")
    return list(tracks)


def best_track(tracks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Written captions before those made by machine, English before other languages."""
    return min(tracks, key=lambda track: (track["languageCode"] != "en", track.get("kind") == "asr"))


def _file_call(url: str) -> Call:
    """The request for the caption file. The host is ours, so that a reply cannot send us elsewhere."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items() if name != "fmt"}
    if parts.path != "/api/timedtext":
        raise BlockError("YouTube keeps the captions in an unknown place", fix="Update Treadle.")
    return get(f"{parts.path}?{urlencode(query)}", text=True, anonymous=True)


def lines_of(xml: str) -> str:
    """The text of a caption file, a line for each caption.

    Raises:
        BlockError: it is not XML.
    """
    from xml.etree.ElementTree import ParseError  # noqa: PLC0415

    from defusedxml import ElementTree  # noqa: PLC0415
    from defusedxml.common import DefusedXmlException  # noqa: PLC0415

    try:
        root = ElementTree.fromstring(xml)
    except (ParseError, DefusedXmlException) as error:
        raise BlockError("YouTube sent captions that cannot be read", fix="Try again later.") from error
    texts = (_TAG.sub("", html.unescape(caption.text)) for caption in root.iter("text") if caption.text)
    return "\n".join(texts)


def _blocked(video: str) -> RetryLater:
    return RetryLater(
        f"YouTube wants proof that no robot is reading {video}",
        fix="YouTube blocks many requests from one address; wait, or run Treadle from another network.",
    )
