"""Places: text search, and the details of each place (the Places API that Google calls legacy)."""

from typing import Any

from treadle.integrations.google_maps.manifest import INTEGRATION
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, Cursor, get
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.pins import Inputs, Outputs, pin

# Google needs about two seconds before a page token works.
PAGE_PAUSE = 2.0


class SearchInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    query: str = pin("What to look for, and where.", placeholder="restaurants in New York")
    radius: int = pin("How far around, in metres.", default=5000, ge=1, le=50000)
    max_results: int = pin("How many places at most; Google gives no more than 60.", default=20, ge=1, le=60)


class SearchOutputs(Outputs):
    place: dict[str, Any] = pin("Each place: name, address, phone, rating, reviews and website.")


def check(reply: Any) -> None:
    """Google answers 200 to everything; the body's ``status`` says whether it worked."""
    status = reply.get("status", "")
    if status in ("OK", "ZERO_RESULTS", "NOT_FOUND"):
        return
    message = f"Google Maps answered {status}: {reply.get('error_message', '')}".rstrip(": ")
    if status in ("OVER_QUERY_LIMIT", "UNKNOWN_ERROR"):
        raise RetryLater(message, fix="Try again later, or raise the quota in the Google Cloud console.")
    if status == "REQUEST_DENIED":
        raise CredentialsNeeded(message, fix="Check the API key, and that the Places API is enabled for it.")
    raise BlockError(message, fix=f"Correct the block's inputs; see {INTEGRATION.docs}.")


DETAILS = get(
    "/maps/api/place/details/json",
    params={"place_id": "{place_id}", "fields": "formatted_phone_number,website"},
    check=check,
)


@block(
    id="f47ac10b-58cc-4372-a567-0e02b2c3d479",
    name="GoogleMapsSearchBlock",
    outputs=SearchOutputs,
    categories=("SEARCH",),
    work=Work.READ,
)
async def search(inputs: SearchInputs, ctx: Context) -> Stream:
    """Finds places, and gives the address, phone number, rating and web site of each."""
    maps = Client(INTEGRATION, ctx)
    paging = Cursor("pagetoken", next="next_page_token", items="results", most=inputs.max_results, pause=PAGE_PAUSE)
    found = get(
        "/maps/api/place/textsearch/json", params={"query": "{query}", "radius": "{radius}"}, paging=paging, check=check
    )
    async for place in maps.pages(found, {"query": inputs.query, "radius": inputs.radius}):
        yield "place", await _with_details(maps, place)


async def _with_details(maps: Client, place: dict[str, Any]) -> dict[str, Any]:
    details = (await maps.call(DETAILS, {"place_id": place["place_id"]})).get("result", {})
    return {
        "name": place.get("name", ""),
        "address": place.get("formatted_address", ""),
        "phone": details.get("formatted_phone_number", ""),
        "rating": place.get("rating", 0),
        "reviews": place.get("user_ratings_total", 0),
        "website": details.get("website", ""),
    }
