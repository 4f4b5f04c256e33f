"""What lists tell of agents is encoded once, and remembered for as long as nothing of it changes."""

from collections.abc import Iterable
from itertools import islice
from uuid import UUID

import msgspec

from treadle.features.library.entries import Entry, Found, Mark

_KEPT = 10_000
_FORGOTTEN = 1_000
"""At once, when more would be kept."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class Lines:
    """Agents that were in lists, of all workspaces: an agent is in one workspace, and its mark says who likes it."""

    def __init__(self) -> None:
        self._known: dict[UUID, Found] = {}

    def get(self, mark: Mark) -> Found | None:
        """The agent as it is by that mark, if it is remembered; never while a run goes on."""
        found = self._known.get(mark.id)
        return found if found is not None and found.mark == mark and not mark.goes_on else None

    def keep(self, agents: Iterable[Found]) -> None:
        """Remember agents as they were read."""
        self._known.update((each.entry.id, each) for each in agents)
        if len(self._known) > _KEPT:
            for old in list(islice(self._known, len(self._known) - _KEPT + _FORGOTTEN)):
                del self._known[old]


def encoded(agent: Found) -> bytes:
    """The JSON of its ``Entry``."""
    if not agent.line:
        agent.line = _encoder.encode(agent.entry)
    return agent.line


def decoded(line: bytes) -> Entry:
    """The ``Entry`` of that JSON."""
    return _decoder.decode(line)
