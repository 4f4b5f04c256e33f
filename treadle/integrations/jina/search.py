"""The web as text: search, pages and checked facts."""

from typing import Any

from treadle.integrations.jina.manifest import INTEGRATION
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, get
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.operations import operation
from treadle.sdk.pins import Inputs, Outputs, pin


class SearchInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    query: str = pin("What to search for.")


class SearchOutputs(Outputs):
    results: str = pin("The best pages with their content, as text.")


search_the_web = operation(
    INTEGRATION,
    id="87840993-2053-44b7-8da4-187ad4ee518c",
    name="SearchTheWebBlock",
    description="Searches the web and gives the content of the best pages as text.",
    cost=1,
    inputs=SearchInputs,
    outputs=SearchOutputs,
    call=get("/", params={"q": "{query}"}, base_url="https://s.jina.ai", text=True, timeout=120.0),
    returns={"results": ""},
)


class ExtractInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    url: str = pin("Address of the page.", placeholder="https://example.com")
    raw_content: bool = pin("Fetch the page itself, as it is, instead of Jina's readable text.", default=False)


class ExtractOutputs(Outputs):
    content: str = pin("The page as text.")


@block(
    id="436c3984-57fd-4b85-8e9a-459b356883bd",
    name="ExtractWebsiteContentBlock",
    outputs=ExtractOutputs,
    categories=("SEARCH",),
    work=Work.READ,
    cost=1,
)
async def extract_website_content(inputs: ExtractInputs, ctx: Context) -> Stream:
    """Gives the content of a web page as readable text, or the page as it is."""
    url = inputs.url.strip()
    url = url if "://" in url else f"https://{url}"
    if inputs.raw_content:
        yield "content", await _fetched(url, ctx)
    else:
        call = get("/{url}", base_url="https://r.jina.ai", text=True, timeout=120.0)
        yield "content", await Client(INTEGRATION, ctx).call(call, {"url": url})


async def _fetched(url: str, ctx: Context) -> str:
    """The page itself; its server has nothing to do with Jina, so no credentials go along."""
    reply = await ctx.http.request("GET", url, retries=2)
    if reply.status >= 500 or reply.status == 429:
        raise RetryLater(f"{url} answered {reply.status}", fix="Try again later.")
    if reply.status >= 400:
        raise BlockError(f"{url} answered {reply.status}", fix="Check the address.")
    return reply.text()


class FactInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    statement: str = pin("The statement to check.")


class FactOutputs(Outputs):
    factuality: float = pin("How true it is, from 0 to 1.")
    result: bool = pin("Whether it is true on the whole.")
    reason: str = pin("Why.")
    references: list[dict[str, Any]] = pin("What it was checked against: url, keyQuote and isSupportive of each.")


fact_checker = operation(
    INTEGRATION,
    id="d38b6c5e-9968-4271-8423-6cfe60d6e7e6",
    name="FactCheckerBlock",
    description="Checks a statement against the web.",
    inputs=FactInputs,
    outputs=FactOutputs,
    call=get("/{statement}", base_url="https://g.jina.ai", headers={"Accept": "application/json"}, timeout=180.0),
    returns={
        "factuality": "data.factuality",
        "result": "data.result",
        "reason": "data.reason",
        "references": "data.references",
    },
)
