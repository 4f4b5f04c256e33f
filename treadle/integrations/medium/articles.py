"""Articles."""

from typing import Literal

from treadle.integrations.medium.manifest import INTEGRATION
from treadle.sdk.block import Stream, block
from treadle.sdk.client import Client, get, post
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.operations import values_of
from treadle.sdk.pins import Inputs, Outputs, pin


class PublishInputs(Inputs):
    author_id: str = pin("Medium's id of the author; the account's own when empty.", default="", secret=True)
    title: str = pin("Title of the article.")
    content: str = pin("The article.", format="long-text")
    content_format: str = pin("How the article is written: html or markdown.", placeholder="markdown")
    tags: list[str] = pin("Up to three tags.", placeholder='["writing"]')
    canonical_url: str | None = pin("Where the article was published first.", default=None)
    publish_status: Literal["public", "draft", "unlisted"] = pin("Who may see it.")
    license: str = pin("Its licence, as Medium names it.", default="all-rights-reserved")
    notify_followers: bool = pin("Tell the followers.", default=False)
    credentials: CredentialsRef = INTEGRATION.pin()


class PublishOutputs(Outputs):
    post_id: str = pin("Medium's id of the article.")
    post_url: str = pin("Address of the article.")
    published_at: int = pin("When it was published, in milliseconds since 1970.")


PUBLISH = post(
    "/users/{author_id}/posts",
    body={
        "title": "{title}",
        "contentFormat": "{content_format}",
        "content": "{content}",
        "tags": "{tags}",
        "canonicalUrl": "{canonical_url?}",
        "publishStatus": "{publish_status}",
        "license": "{license?}",
        "notifyFollowers": "{notify_followers}",
    },
)


@block(
    id="3f7b2dcb-4a78-4e3f-b0f1-88132e1b89df",
    name="PublishToMediumBlock",
    outputs=PublishOutputs,
    categories=("SOCIAL",),
)
async def publish(inputs: PublishInputs, ctx: Context) -> Stream:
    """Publishes an article on Medium, or keeps it there as a draft."""
    medium, values = Client(INTEGRATION, ctx), values_of(inputs)
    if not inputs.author_id:
        values["author_id"] = (await medium.call(get("/me")))["data"]["id"]
    article = (await medium.call(PUBLISH, values))["data"]
    yield "post_id", article["id"]
    yield "post_url", article["url"]
    yield "published_at", article.get("publishedAt") or 0
