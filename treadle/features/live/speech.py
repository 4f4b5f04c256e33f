"""Live text of running blocks, such as a model's words as they come: shown, neither numbered nor kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from treadle.base.ids import ExecutionId, NodeId
from treadle.features.live.channel import Channel, Telling
from treadle.features.live.elsewhere import Elsewhere

GATHER_SECONDS = 0.05
"""Text of one firing goes out at most so often."""
MOST_CHARACTERS = 32_000
"""Of one firing's text that goes out at once; more than that nobody reads, and it is left out."""
_FIRINGS_KEPT = 10_000


class Speech:
    """Gathers what blocks say, and gives it to whoever watches them, here and in other processes."""

    def __init__(self, channels: Mapping[ExecutionId, Channel], telling: Telling, elsewhere: Elsewhere) -> None:
        self._channels = channels
        self._telling = telling
        self._elsewhere = elsewhere
        self.pending: dict[ExecutionId, dict[tuple[NodeId, int], list[str]]] = {}
        """What is gathered, by execution and firing."""
        self._offsets: OrderedDict[tuple[ExecutionId, int], int] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, execution: ExecutionId, node: NodeId, firing: int, text: str) -> None:
        """A block of this process says something."""
        if execution in self._channels or execution in self._elsewhere.wanted:
            self.pending.setdefault(execution, {}).setdefault((node, firing), []).append(text)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush_all)

    def flush(self, execution: ExecutionId) -> None:
        """Give out what is gathered of an execution now: before what has become durable of it, which it led to."""
        for (node, firing), parts in self.pending.pop(execution, {}).items():
            text = "".join(parts)
            offset = self._offsets.pop((execution, firing), 0)
            self._offsets[execution, firing] = offset + len(text)
            if len(self._offsets) > _FIRINGS_KEPT:
                self._offsets.popitem(last=False)
            self.tell(execution, node, firing, offset, text[:MOST_CHARACTERS])
            if execution in self._elsewhere.wanted:
                self._elsewhere.say(execution, node, firing, offset, text[:MOST_CHARACTERS])

    def tell(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> None:
        """Give text to whoever watches the execution here."""
        channel = self._channels.get(execution)
        if channel is not None:
            said = self._telling.said(execution, node, firing, offset, text)
            for cursor in channel.cursors:
                cursor.watcher.offer_if_room(said)

    def close(self) -> None:
        """Give out nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _flush_all(self) -> None:
        self._timer = None
        for execution in list(self.pending):
            self.flush(execution)
