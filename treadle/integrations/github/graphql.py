"""GitHub's GraphQL API, for what its REST API lacks."""

from collections.abc import Mapping
from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.sdk.client import Client, post
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater

_CALL = post("/graphql", body={"query": "{query}", "variables": "{variables}"})
_KINDS: Mapping[str, type[BlockError]] = {
    "RATE_LIMITED": RetryLater,
    "FORBIDDEN": CredentialsNeeded,
    "INSUFFICIENT_SCOPES": CredentialsNeeded,
}


async def query(ctx: Context, text: str, variables: Mapping[str, Any]) -> Any:
    """The data that answers a query or mutation. Refusals come with status 200 and are raised here.

    Raises:
        BlockError: or one of its kinds; the message is GitHub's.
    """
    reply = await Client(INTEGRATION, ctx).call(_CALL, {"query": text.strip(), "variables": dict(variables)})
    for error in reply.get("errors") or []:
        kind = _KINDS.get(error.get("type", ""), BlockError)
        raise kind(f"GitHub refused the query: {error.get('message', '')}", fix="Check the address and the account.")
    return reply["data"]
