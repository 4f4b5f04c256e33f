"""The doors to the outside that running blocks are given on this install."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import asyncpg

from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.features.executions.storage import StoredValues
from treadle.features.files.service import Files as WorkspaceFiles
from treadle.sdk.context import Compute, Files, Http, Storage
from treadle.sdk.files import ScratchFiles

OnProgress = Callable[[ExecutionId, NodeId, int, str], None]


class PlatformDoors:
    """Implements ``treadle.engine.ports.Doors``."""

    def __init__(
        self, http: Http, compute: Compute, pool: asyncpg.Pool, scratch: Path, uploads: WorkspaceFiles
    ) -> None:
        self.http = http
        self.compute = compute
        self.on_progress: OnProgress = lambda execution, node, firing, text: None
        self._pool = pool
        self._scratch = scratch
        self._uploads = uploads
        self._storages: dict[WorkspaceId, StoredValues] = {}
        self._files: WeakValueDictionary[ExecutionId, ScratchFiles] = WeakValueDictionary()
        """Those that a block of the run has now: all of them share one."""

    def storage(self, workspace: WorkspaceId, graph: GraphId) -> Storage:
        """The stored values of the workspace."""
        found = self._storages.get(workspace)
        if found is None:
            found = self._storages[workspace] = StoredValues(self._pool, workspace)
        return found

    def files(self, workspace: WorkspaceId, execution: ExecutionId) -> Files:
        """The scratch folder of an execution; it is made when something is written to it."""
        found = self._files.get(execution)
        if found is None:
            found = self._files[execution] = ScratchFiles(
                self._folder(execution), self.http, uploads=partial(self._uploads.fetch, workspace)
            )
        return found

    def close_files(self, execution: ExecutionId) -> None:
        """The execution is over: its scratch folder goes."""
        self._files.pop(execution, None)
        shutil.rmtree(self._folder(execution), ignore_errors=True)

    def progress(self, execution: ExecutionId, node: NodeId, firing: int, text: str) -> None:
        """Pass live text on to whoever watches."""
        self.on_progress(execution, node, firing, text)

    def _folder(self, execution: ExecutionId) -> Path:
        return self._scratch / str(execution)
