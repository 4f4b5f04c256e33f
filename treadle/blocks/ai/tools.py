"""The graph's tools as a model sees them, and the check of what it asks for."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.blocks.ai.checked import Unusable
from treadle.blocks.ai.conversation import as_text
from treadle.sdk.context import Tool
from treadle.sdk.errors import BlockError
from treadle.sdk.models.messages import ToolCall, ToolSpec
from treadle.sdk.models.schemas import problems

MAX_RESULT_CHARS = 50_000
"""How much of a tool's outputs a model gets to read."""

_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class Use:
    """A call that passed the checks: a tool of this node, and arguments that fit its schema."""

    call: ToolCall
    tool: Tool
    arguments: Mapping[str, Any]

    def emissions(self) -> Iterator[tuple[str, Any]]:
        """Each linked pin of the tool's node with its argument: null where the model gave none."""
        for parameter, pin in self.tool.pins.items():
            default = self.tool.parameters.get("properties", {}).get(parameter, {}).get("default")
            yield f"tools_^_{self.tool.node}_~_{pin}", self.arguments.get(parameter, default)


class Toolbox:
    """The tools of a node under names that every provider takes and that differ from each other."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self._tools[_free_name(tool.name, self._tools)] = tool

    def specs(self) -> list[ToolSpec]:
        """The tools as a request to a model describes them."""
        return [ToolSpec(name, tool.description, tool.parameters) for name, tool in self._tools.items()]

    def use(self, call: ToolCall) -> Use:
        """Check a call. What a model writes is untrusted: only these tools, only arguments that fit their schemas.

        Raises:
            Unusable: no such tool, or arguments that it does not take; in words for the model.
            BlockError: the tool's own schema is wrong, which no model can mend.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            raise Unusable(f"there is no tool {call.name[:80]!r}; the tools are: {', '.join(self._tools) or 'none'}")
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            raise Unusable(f"the arguments for {call.name} are not valid JSON") from None
        if not isinstance(arguments, dict):
            raise Unusable(f"the arguments for {call.name} are not an object")
        unknown = [name for name in arguments if name not in tool.pins]
        found = [f"{', '.join(unknown)[:200]}: no such argument"] if unknown else []
        try:
            found += problems(tool.parameters, arguments)
        except ValueError as error:
            raise BlockError(
                f"The inputs of the tool {call.name} have no valid schema: {str(error)[:300]}.",
                fix="Link another node, or correct the agent's inputs.",
            ) from error
        if found:
            raise Unusable(f"the arguments for {call.name} do not fit: {'; '.join(found)}")
        return Use(call, tool, arguments)


def result_text(outputs: Sequence[tuple[str, Any]]) -> str:
    """A tool's outputs for the model: one JSON object by pin, a list where a pin sent several values."""
    by_pin: dict[str, list[Any]] = {}
    for pin, value in outputs:
        by_pin.setdefault(pin, []).append(value)
    text = as_text({pin: values[0] if len(values) == 1 else values for pin, values in by_pin.items()})
    if len(text) <= MAX_RESULT_CHARS:
        return text
    return f"{text[:MAX_RESULT_CHARS]}\n[{len(text) - MAX_RESULT_CHARS} characters left out]"


def _free_name(wanted: str, taken: Mapping[str, Any]) -> str:
    name = base = _ODD.sub("_", wanted)[:_MAX_NAME] or "tool"
    number = 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
