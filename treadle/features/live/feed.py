"""The feed: what becomes durable in runs that somebody watches goes to whoever watches them.

Of runs that this process holds it is told by the journal's writer after each commit, and reads nothing. That there is
more of runs that other processes hold it hears through ``Elsewhere``, and reads it once for all who watch.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.engine.journal import Rows
from treadle.features.live.channel import Channel, Cursor, Telling
from treadle.features.live.elsewhere import Elsewhere
from treadle.features.live.follower import Follower
from treadle.features.live.lists import Lists
from treadle.features.live.past import Past, Row, Subject
from treadle.features.live.speech import Speech
from treadle.features.live.trees import Tree
from treadle.features.live.viewer import Subscription, Viewer
from treadle.kernel.records import unmarked
from treadle.kernel.states import FINAL


class Feed:
    """All that is watched in one process. ``holds`` tells whether a worker of it holds a root."""

    def __init__(
        self, past: Past, telling: Telling, elsewhere: Elsewhere, holds: Callable[[ExecutionId], bool]
    ) -> None:
        self.past = past
        self.telling = telling
        self.trees: dict[ExecutionId, Tree] = {}
        self.channels: dict[ExecutionId, Channel] = {}
        self.lists = Lists(past, telling, elsewhere)
        self.speech = Speech(self.channels, telling, elsewhere)
        self._follower = Follower(self.trees, self.channels, past, self._find_children)
        self._elsewhere = elsewhere
        self._holds = holds
        elsewhere.attach(self)

    def viewer(self) -> Viewer:
        """Somebody who watches nothing yet."""
        return Viewer(self)

    async def close(self) -> None:
        """Tell nobody anything any more."""
        self.speech.close()
        await asyncio.gather(self.lists.close(), self._follower.close(), self._elsewhere.close())

    # ---- watching -----------------------------------------------------------------------------------------------

    async def watch(self, subscription: Subscription, after: int) -> None:
        """Give the subscription what happens in its execution after that number."""
        subject = subscription.subject
        self._add(subscription, subject, after)
        if subscription.family is not None:
            self._tree(subject).families[subscription] = None
            await self.find_children(subscription)

    async def find_children(self, subscription: Subscription) -> None:
        """Give the subscription the sub-agents that it does not have yet, if it wants them."""
        tree = self.trees.get(subscription.subject.root)
        if subscription.family is not None and tree is not None:
            await self._find_children(tree)

    def drop(self, subscription: Subscription, cursor: Cursor) -> None:
        """The subscription is done with one execution."""
        subject = cursor.channel.subject
        cursor.channel.close(cursor)
        subscription.cursors.pop(subject.id, None)
        if not cursor.channel.cursors and self.channels.get(subject.id) is cursor.channel:
            del self.channels[subject.id]
            tree = self.trees[subject.root]
            del tree.executions[subject.id]
            self._drop_if_unwatched(tree)

    def unwatch(self, subscription: Subscription) -> None:
        """Give the subscription nothing more."""
        for cursor in list(subscription.cursors.values()):
            self.drop(subscription, cursor)
        tree = self.trees.get(subscription.subject.root)
        if tree is not None:
            tree.families.pop(subscription, None)
            self._drop_if_unwatched(tree)

    def _add(self, subscription: Subscription, subject: Subject, after: int) -> None:
        if subject.status in FINAL and after >= subject.last_seq:
            return
        tree = self._tree(subject)
        channel = self.channels.get(subject.id)
        if channel is None:
            channel = self.channels[subject.id] = Channel(subject, self.past, self.telling, self.speech.flush)
            tree.executions[subject.id] = None
            if not tree.here:
                self._elsewhere.want([subject.root, subject.id])
        cursor = subscription.cursors[subject.id] = Cursor(channel, after, subscription)
        channel.open(cursor)

    def _tree(self, subject: Subject) -> Tree:
        tree = self.trees.get(subject.root)
        if tree is None:
            tree = self.trees[subject.root] = Tree(subject.workspace, subject.root, self._holds(subject.root))
            if not tree.here:
                self._follower.look_at(tree)
        return tree

    def _drop_if_unwatched(self, tree: Tree) -> None:
        if not tree.executions and not tree.families:
            self.trees.pop(tree.id, None)

    async def _find_children(self, tree: Tree) -> None:
        for child in await self.past.descendants(tree.workspace, tree.id):
            self._born(tree, child)

    def _born(self, tree: Tree, child: Subject) -> None:
        for subscription in tree.families:
            if subscription.takes_up(child):
                self._add(subscription, child, subscription.after(child.id))

    # ---- what happens here --------------------------------------------------------------------------------------

    def committed(self, rows: Rows, held: set[UUID]) -> None:
        """Implements ``treadle.engine.journal.OnCommitted``: a worker of this process has written."""
        wanted = self._elsewhere.wanted
        if self.lists.watched or wanted:
            self.lists.committed(rows, held)
        if self.speech.pending:
            for execution in rows.executions:
                self.speech.flush(ExecutionId(execution))
        if self.trees:
            self._keep(rows, held)
        if wanted:
            for root, execution in zip(rows.roots, rows.executions, strict=True):
                if root in wanted and root in held:
                    self._elsewhere.ring(root, execution)

    def left(self, root: ExecutionId) -> None:
        """A worker of this process does not hold the root any more: another one may take it up."""
        tree = self.trees.get(root)
        if tree is not None and tree.here:
            tree.here = False
            self._elsewhere.want([root, *tree.executions])
            self._follower.look_at(tree)

    def _keep(self, rows: Rows, held: set[UUID]) -> None:
        for child in rows.children:
            tree = self.trees.get(child["root_id"])
            if tree is not None and tree.families and tree.id in held:
                self._born(tree, _created(child))
        for changed in rows.changed:
            channel = self.channels.get(changed["id"])
            if channel is not None and changed["status"] in FINAL and changed["root_id"] in held:
                channel.outputs = unmarked(changed["outputs"])
        written = zip(rows.roots, rows.executions, rows.seqs, rows.counts, rows.bodies, strict=True)
        for root, execution, seq, count, body in written:
            tree = self.trees.get(ExecutionId(root))
            if tree is not None and root in held:
                tree.here = True
                channel = self.channels.get(ExecutionId(execution))
                if channel is not None:
                    channel.add(Row(seq, count, body))

    # ---- what is heard of other processes: implements ``Hearer`` ------------------------------------------------

    def wants(self) -> Iterable[UUID]:
        """What is watched here and runs elsewhere."""
        for tree in self.trees.values():
            if not tree.here:
                yield tree.id
                yield from tree.executions
        yield from self.lists.watched

    def more(self, root: ExecutionId, execution: ExecutionId) -> None:
        """There is more in the journal of an execution."""
        tree = self.trees.get(root)
        if tree is not None:
            self._follower.more(tree, execution)

    def listed(self, workspace: WorkspaceId, root: ExecutionId) -> None:
        """A run stands otherwise than before."""
        self.lists.changed(workspace, root)

    def said(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> None:
        """Live text."""
        self.speech.tell(execution, node, firing, offset, text)

    def missed(self) -> None:
        """Rings may have been lost."""
        for tree in self.trees.values():
            if not tree.here:
                self._follower.look_at(tree)


def _created(row: dict[str, Any]) -> Subject:
    """A sub-agent from the row that its worker has written."""
    return Subject(
        id=ExecutionId(row["id"]),
        root=ExecutionId(row["root_id"]),
        parent=ExecutionId(row["parent_id"]),
        workspace=WorkspaceId(row["workspace_id"]),
        graph=GraphId(row["graph_id"]),
        graph_version=row["graph_version"],
        plan=bytes.fromhex(row["plan_digest"]),
    )
