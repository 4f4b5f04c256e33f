"""Long lines in front of nodes: what is not needed soon is kept in the database instead of memory.

All of it stands in the journal too. Its rows are written before the records that led to them, and are needed only by
who holds the root now, and by the newest snapshot, which refers to them instead of repeating them: what neither needs
goes with the next snapshot, and the rest when the run is over.
"""

import asyncio
import itertools
import logging
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from treadle.base.errors import NotFound
from treadle.base.ids import ExecutionId
from treadle.engine import spilled_rows
from treadle.engine.journal import DATABASE_GONE, Journal
from treadle.engine.large import with_contents
from treadle.engine.run import Kept, Run
from treadle.kernel.firing import Firing
from treadle.kernel.lane import NO_LIMIT, Chunk, Entry, Lane, keys_in, pack_set, pack_value, put_back, wanted
from treadle.kernel.machine import Machine
from treadle.kernel.normal import weight

if TYPE_CHECKING:
    from treadle.engine.root import Root

LOOK_AT = 64
"""Entries of a line at which it is weighed first."""
ENTRIES = 4_000
"""Entries of a line that stay in memory, at most."""
WEIGHT = 4 * 1024 * 1024
"""Roughly how many bytes those may take."""
PARTS = 4
"""What is taken away at once is this part of what may stay."""
PAUSE_SECONDS = 0.2
"""Between two attempts to read from a database that has gone."""

HEAVY = 512
"""Roughly how many bytes of values an entry has from which on it takes more as a row than besides its values."""

_ENTRY = 300
"""Bytes that an entry takes besides its values."""
_SAMPLE = 8
_SAMPLE_BYTES = 256 * 1024
"""Weighing goes through whole values: heavy ones are judged by fewer."""
_log = logging.getLogger(__name__)


class Spills:
    """Keeps the lines of one tree's runs short in memory."""

    def __init__(self, root: "Root", journal: Journal) -> None:
        self._tree = weakref.ref(root)  # not held, as in ``Endings``
        self._journal = journal
        self._keys = itertools.count((root.epoch << 32) + 1)
        """Of chunks: greater than those of all earlier holders of the root."""
        self.awake = True
        """Whether the tree runs; while its records are folded, nothing is read."""
        self.loading = 0
        """Reads under way."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _root(self) -> "Root":
        root = self._tree()
        assert root is not None
        return root

    def mind(self, run: Run) -> None:
        """Keep the run's lines short from now on."""
        minded = weakref.ref(run)  # the machine belongs to it: neither is to keep the other from being freed
        run.machine.bound(LOOK_AT, partial(self._full, minded), partial(self._opened, minded))

    def cancel(self) -> None:
        """Nothing that is being read is needed here any more."""
        for task in self._tasks:
            task.cancel()

    # ---- away ---------------------------------------------------------------------------------------------------

    def _full(self, minded: weakref.ref[Run], lane: Lane, sets: bool) -> None:
        """A line has more than its limit in one piece: raise that, or take entries away."""
        run = minded()
        if run is None or run.closed is not None:
            lane.limit = NO_LIMIT  # it is only read back for its outputs
            return
        size = len(lane.last)
        held, written = _weights(lane)
        most = max(PARTS, min(ENTRIES, WEIGHT // held))
        if lane.last is lane.head and size < most:
            lane.limit = min(most, 4 * size)
            return
        entries = lane.movable(most // PARTS)
        lane.limit = most // PARTS if entries else 2 * size
        if entries:
            self._take_away(run, lane, entries, sets, light=written < HEAVY)

    def _take_away(self, run: Run, lane: Lane, entries: list[Entry], sets: bool, *, light: bool) -> None:
        """Keep the entries elsewhere. Light ones take less as a row; heavy ones share their values with the records
        that are still to be written, and become a row only when that is.
        """
        batch = self._root.batch()
        pack = pack_set if sets else pack_value
        packed = [self._root.large.recorded_entry(pack(entry), batch) for entry in entries]
        inside = {key for _, values, _ in entries for key in keys_in(values)} if sets else ()
        key = next(self._keys)
        run.spilling = True
        kept = run.spilled[key] = Kept(packed, tuple(inside))
        if light:
            kept.encoded()
        batch.spilled.setdefault(run.id, {})[key] = kept
        lane.move(Chunk(key, len(entries), [entry[0] for entry in entries] if sets else None))

    # ---- and back -----------------------------------------------------------------------------------------------

    def complete(self, run: Run, firing: Firing) -> bool:
        """Whether the firing has all that it is to start with; if not, the run is woken when it is at hand."""
        while keys := wanted(firing):
            if not self._at_hand(run, keys):
                return False
            put_back(firing, {key: run.spilled[key].entries or () for key in keys})
            for key in keys:
                run.spilled[key].left -= 1
                if not run.spilled[key].left:
                    del run.spilled[key]
        return True

    def _opened(self, minded: weakref.ref[Run], lane: Lane, chunk: Chunk) -> None:
        """The turn of a chunk has come. Complete sets will start soon: have them, and those behind them, at hand."""
        run = minded()
        if run is not None and chunk.numbers is not None and self.awake:
            self._at_hand(run, [chunk.key, *(each.key for each in islice(lane.chunks, 1))])

    def _at_hand(self, run: Run, keys: Iterable[int]) -> bool:
        """Whether all of these are in memory; begins to read the others."""
        absent = []
        for key in keys:
            kept = run.spilled.setdefault(key, Kept())
            if kept.entries is None and kept.unwritten is not None and b'{"$blob":' not in kept.encoded():
                kept.fill(spilled_rows.entries(kept.encoded()))
            if kept.entries is None:
                absent.append(key)
        missing = [key for key in absent if not run.spilled[key].loading]
        if missing:
            self._begin_to_load(run, missing)
        return not absent

    def _begin_to_load(self, run: Run, keys: list[int]) -> None:
        for key in keys:
            run.spilled[key].loading = True
        self.loading += 1
        task = asyncio.get_running_loop().create_task(self._load(run, keys))
        self._tasks.add(task)
        task.add_done_callback(self._loaded)

    def _loaded(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("what waits cannot be read", extra={"root": str(self._root.id)}, exc_info=error)
            self._journal.fail(self._root, f"A value that waited in front of a node cannot be read: {error}")

    async def _load(self, run: Run, keys: list[int]) -> None:
        try:
            await self._fill(run, keys)
        finally:
            self.loading -= 1
        if run.closed is None:
            self._root.wake(run)

    async def _fill(self, run: Run, keys: list[int]) -> None:
        root = self._root
        if any(run.spilled[key].unwritten is not None for key in keys):
            await root.durable()
        found = await self._read(run.id, keys)
        for key, packed in found.items():
            entries = await with_contents(packed, root.workspace, root.services.blobs)
            if not root.over and key in run.spilled:
                run.spilled[key].fill(entries)

    async def _read(self, execution: ExecutionId, keys: list[int]) -> dict[int, list[Any]]:
        """The packed entries under these keys. Raises ``NotFound`` when they are gone."""
        while True:
            try:
                found = await spilled_rows.read(self._journal.pool, execution, keys)
            except DATABASE_GONE:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if len(found) < len(keys):
                raise NotFound("it is not in the database.")
            return found

    # ---- snapshots ----------------------------------------------------------------------------------------------

    def needed(self, run: Run) -> tuple[int, dict[int, Sequence[int]]]:
        """The newest key, and all up to it that the run's state refers to, with the keys inside of each."""
        newest = next(self._keys)
        if not run.spilled:
            return newest, {}
        found: dict[int, Sequence[int]] = {}
        waiting = list(_keys_of(run.machine))
        while waiting:
            key = waiting.pop()
            if key not in found:
                found[key] = run.spilled[key].inside if key in run.spilled else ()
                waiting.extend(found[key])
        for key in run.spilled.keys() - found.keys():
            del run.spilled[key]
        return newest, found


def _weights(lane: Lane) -> tuple[int, int]:
    """Roughly how many bytes an entry takes in memory, and as a row, judged by the newest.

    What several of them share is in memory once, however long the line is.
    """
    counted: dict[int, tuple[int, int]] = {}
    entries = total = 0
    for entry in islice(reversed(lane.last), _SAMPLE):
        entries += 1
        for value in entry[-2].values() if type(entry[-2]) is dict else entry[-2:-1]:
            size, times = counted.get(id(value), (0, 0))
            size = size or weight(value)
            counted[id(value)] = size, times + 1
            total += size
        if total > _SAMPLE_BYTES and entries > 1:
            break
    own = sum(size for size, times in counted.values() if times == 1)
    return _ENTRY + own // entries, total // entries


def _keys_of(machine: Machine) -> Iterator[int]:
    """The keys of all chunks that the machine refers to by itself."""
    for firing in machine.firings.values():
        yield from wanted(firing)
    for state in machine.nodes:
        for lane in state.lanes():
            yield from (chunk.key for chunk in lane.chunks)
            for entry in itertools.chain(lane.head, lane.last):
                yield from keys_in(entry[-2])
