"""Predictions: Replicate's word for one run of a model. Started, waited for, and their output made plain."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from treadle.integrations.replicate.manifest import INTEGRATION
from treadle.sdk.client import Client, get, post
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused, RetryLater

WAIT = {"Prefer": "wait=60"}
POLL_SECONDS = 2.0
MAX_POLLS = 900
"""Half an hour in all, as long as an attempt may take."""

_MODEL = re.compile(r"(?P<owner>[\w.-]{1,100})/(?P<name>[\w.-]{1,100})(?::(?P<version>[0-9a-f]{64}))?", re.ASCII)

BY_MODEL = post("/models/{owner}/{name}/predictions", body={"input": "{input}"}, headers=WAIT, timeout=90.0)
BY_VERSION = post("/predictions", body={"version": "{version}", "input": "{input}"}, headers=WAIT, timeout=90.0)
STATE = get("/predictions/{id}")


async def predict(ctx: Context, model: str, values: Mapping[str, Any], version: str = "") -> Any:
    """The output of one run of ``owner/name`` (or ``owner/name:version``); inputs that are None are not sent.

    Raises:
        InputRefused: the model's name has another form.
        BlockError: the run failed; the message is the model's.
        RetryLater: the run took too long.
    """
    found = _MODEL.fullmatch(model.strip())
    if found is None:
        raise InputRefused({"model_name": f"{model[:100]!r} is not of the form owner/name"})
    wanted = {
        **found.groupdict(),
        "version": version or found["version"],
        "input": {name: value for name, value in values.items() if value is not None},
    }
    replicate = Client(INTEGRATION, ctx)
    state = await replicate.call(BY_VERSION if wanted["version"] else BY_MODEL, wanted)
    for _ in range(MAX_POLLS):
        if state["status"] not in ("starting", "processing"):
            return _output(model, state)
        await (ctx.sleep or asyncio.sleep)(POLL_SECONDS)
        state = await replicate.call(STATE, {"id": state["id"]})
    raise RetryLater(f"{model} was still running after {MAX_POLLS * POLL_SECONDS / 60:.0f} minutes", fix="Try again.")


def _output(model: str, state: Mapping[str, Any]) -> Any:
    if state["status"] != "succeeded":
        why = state.get("error") or state["status"]
        raise BlockError(f"{model} failed: {why}", fix=f"Check the inputs against https://replicate.com/{model}.")
    return state.get("output")


def as_text(output: Any) -> str:
    """One text: the address of the first file, the whole of a text that came in parts, or anything else as JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, list) and output and all(isinstance(part, str) for part in output):
        files = output[0].startswith(("https://", "http://", "data:"))
        return str(output[0]) if files else "".join(output)
    return json.dumps(output, ensure_ascii=False)
