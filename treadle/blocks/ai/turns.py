"""A model's answers that a firing remembers, so that after a crash it goes on instead of deciding anew."""

from typing import Any

from treadle.sdk.context import Context
from treadle.sdk.models.messages import ModelReply, ModelRequest, ToolCall
from treadle.sdk.models.service import complete


class Turns:
    """Asks a model turn by turn. An answer that an earlier attempt of this firing got is given again, unasked.

    Each answer is noted before it is acted on. So the turns of a firing are the same in every attempt, and with them
    the numbers of its tool calls and its outputs, on which the engine's own records rest.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._taken = 0

    async def ask(self, request: ModelRequest) -> ModelReply:
        """The answer of the next turn."""
        turn, self._taken = self._taken, self._taken + 1
        if turn < len(self._ctx.notes):
            return _restored(self._ctx.notes[turn])
        reply = await complete(request, self._ctx)
        self._ctx.note(_kept(reply))
        return reply


def _kept(reply: ModelReply) -> dict[str, Any]:
    calls = [[call.id, call.name, call.arguments, call.signature] for call in reply.calls]
    return {"text": reply.text, "calls": calls, "stop": reply.stop}


def _restored(kept: dict[str, Any]) -> ModelReply:
    return ModelReply(kept["text"], tuple(ToolCall(*fields) for fields in kept["calls"]), kept["stop"])
