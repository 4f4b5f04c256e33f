"""How runs of agents are started: checked, given their credentials, and begun once for each key."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treadle.base.errors import BadInput
from treadle.base.ids import BlockId, ExecutionId, GraphId, WorkspaceId, uuid7
from treadle.engine.endings import Ended
from treadle.engine.run import Asked
from treadle.engine.secrets import secret_inputs
from treadle.engine.store import Store
from treadle.engine.worker import Worker
from treadle.features.credentials.offers import Offers, Wish
from treadle.features.credentials.service import CredentialsSource
from treadle.features.graphs.credential_needs import CredentialNeed, credential_needs
from treadle.features.graphs.runnable import RunnableAgents
from treadle.features.graphs.service import Graphs
from treadle.kernel.plan import Plan
from treadle.kernel.records import encode_records
from treadle.sdk.credentials import AuthKind, CredentialsRef
from treadle.sdk.registry import Registry

OWN_KEYS = "treadle:"
"""Begins the idempotency keys that the platform makes itself; people's may not begin so."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that somebody wants."""

    graph: GraphId
    inputs: Mapping[str, Any]
    """Values for the agent's inputs, by name."""
    version: int | None = None
    """The one that runs when none is named."""
    settings: Mapping[str, Any] | None = None
    """``safe_mode``, ``ask_before_sensitive``, ``timezone``; what is not said is as the agent's own settings say."""
    credentials: Mapping[str, CredentialsRef] | None = None
    """Those to use, by the names of the agent's needs; what is not named is found as on the nodes."""
    key: str | None = None
    """Asking again with the same key starts nothing."""


@dataclass(frozen=True, slots=True)
class WantedBlock:
    """A run of one block by itself that somebody wants."""

    block: BlockId
    inputs: Mapping[str, Any]
    """Values by pin."""
    settings: Mapping[str, Any] | None = None
    credentials: Mapping[str, CredentialsRef] | None = None
    """By pin; those of other pins are found as on the nodes of an agent."""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    plan: Plan
    inputs: dict[int, dict[str, Any]]
    settings: dict[str, Any]
    asked: Asked | None


class Starter:
    """Starts runs. Without a ``worker`` in this process, they are queued for another one."""

    def __init__(
        self,
        store: Store,
        graphs: Graphs,
        runnable: RunnableAgents,
        registry: Registry,
        credentials: CredentialsSource,
        worker: Worker | None,
        timezone: str,
    ) -> None:
        self._store = store
        self._graphs = graphs
        self._runnable = runnable
        self._registry = registry
        self._credentials = credentials
        self._worker = worker
        self._timezone = timezone

    async def start(self, workspace: WorkspaceId, wanted: Wanted) -> ExecutionId:
        """Start a run; it will end, whatever is killed from now on.

        Raises:
            NotFound: no such graph.
            InvalidAgent: the agent cannot run here; says everything that is wrong.
            BadRunInputs: an input is missing, unknown or of a wrong type.
            BadInput: it does not need these credentials, or they are not here.
            AskedDifferently: the key was used for something else.
        """
        ready = await self._ready(workspace, wanted)
        return await self._start(workspace, ready) if isinstance(ready, _Ready) else ready

    async def start_block(self, workspace: WorkspaceId, wanted: WantedBlock) -> ExecutionId:
        """Run one block by itself, as an agent of one node: recorded, limited and charged like every other run.

        Raises:
            NotFound: no such block.
            BlockSwitchedOff: it may not run here.
            BadRunInputs: the block does not have such an input.
            InvalidAgent: an input is missing, or of a wrong type.
            AskedDifferently: the key was used for something else.
        """
        chosen = {pin: ref.model_dump(mode="json") for pin, ref in (wanted.credentials or {}).items()}
        plan, inputs = await self._graphs.prepare_block(workspace, wanted.block, wanted.inputs, chosen)
        asked = None
        if wanted.key is not None:
            check_key(wanted.key)
            asked = Asked(wanted.key, _digest_of_block(plan, inputs, wanted))
        settings = {"timezone": self._timezone, **(wanted.settings or {})}
        return await self.begin(workspace, plan, inputs, settings=settings, asked=asked)

    async def run(self, workspace: WorkspaceId, wanted: Wanted, seconds: float) -> tuple[ExecutionId, Ended | None]:
        """Start a run and wait for its end that long; what it ended with, if it did and this process knows it.

        Raises as ``start``.
        """
        ready = await self._ready(workspace, wanted)
        if not isinstance(ready, _Ready):
            return ready, None
        if self._worker is None:
            return await self._start(workspace, ready), None
        return await self._worker.run(
            workspace, ready.plan, ready.inputs, seconds=seconds, settings=ready.settings, asked=ready.asked
        )

    async def begin(
        self, workspace: WorkspaceId, plan: Plan, inputs: Mapping[int, Mapping[str, Any]], **options: Any
    ) -> ExecutionId:
        """Begin a run in this process, or queue it for another one; ``options`` are those of ``Worker.submit``."""
        if self._worker is not None:
            return await self._worker.submit(workspace, plan, inputs, **options)
        return await self._store.enqueue(ExecutionId(uuid7()), workspace, plan, inputs, **options)

    async def _start(self, workspace: WorkspaceId, ready: _Ready) -> ExecutionId:
        return await self.begin(workspace, ready.plan, ready.inputs, settings=ready.settings, asked=ready.asked)

    async def _ready(self, workspace: WorkspaceId, wanted: Wanted) -> _Ready | ExecutionId:
        """All that it takes to begin; or the id of the run that was started with the key before."""
        current = await self._runnable.current(workspace, wanted.graph)
        version = current.version if wanted.version is None else wanted.version
        runnable = await self._runnable.find(workspace, wanted.graph, version)
        asked = None
        if wanted.key is not None:
            check_key(wanted.key)
            asked = Asked(wanted.key, _digest(wanted, runnable.plan))
            before = await self._store.asked_before(workspace, wanted.key)
            if before is not None:
                return before.checked(asked)
        inputs = self._runnable.bound(workspace, runnable, wanted.inputs)
        settings = {"timezone": self._timezone, **current.settings, **(wanted.settings or {})}
        if wanted.credentials:
            settings["credentials"] = await self._chosen(workspace, wanted, runnable.plan.graph_version)
        return _Ready(runnable.plan, inputs, settings, asked)

    async def _chosen(self, workspace: WorkspaceId, wanted: Wanted, version: int) -> dict[str, Any]:
        """The chosen credentials by graph, node and pin."""
        agent = await self._graphs.agent(workspace, wanted.graph, version)
        offers = await self._credentials.offers(workspace)
        needs = {need.key: need for need in credential_needs(agent, self._registry)}
        chosen: dict[str, dict[str, dict[str, Any]]] = {}
        for name, ref in (wanted.credentials or {}).items():
            need = needs.get(name)
            if need is None:
                known = ", ".join(needs) or "none"
                raise BadInput(
                    f"The agent has no use for credentials called {name[:100]!r}.", fix=f"It takes: {known}."
                )
            _check_fit(offers, need, name, ref)
            for use in need.uses:
                chosen.setdefault(use.graph, {}).setdefault(use.node, {})[use.pin] = ref.model_dump(mode="json")
        return chosen


def _check_fit(offers: Offers, need: CredentialNeed, name: str, ref: CredentialsRef) -> None:
    """Whether there are such credentials, and whether they are somebody else's, is not told apart."""
    found = offers.named(ref.id)
    wish = Wish(ref, need.providers, tuple(AuthKind(kind) for kind in need.types), need.host)
    if found is None or not found.fits(wish):
        fix = f"Choose credentials of {' or '.join(need.providers)} that this workspace has."
        raise BadInput(f"The credentials that were chosen for {name[:100]!r} cannot be used.", fix=fix)


def check_key(key: str) -> None:
    """Raises ``BadInput`` for a key of a person that could be one of the platform's own."""
    if key.startswith(OWN_KEYS):
        raise BadInput(f"An idempotency key may not begin with {OWN_KEYS}", fix="Use a UUID.")


def _digest_of_block(plan: Plan, inputs: Mapping[int, Mapping[str, Any]], wanted: WantedBlock) -> bytes:
    """Of what is asked for; secrets are encrypted constants of the plan, of which only the names count."""
    ((index, given),) = inputs.items()
    secret = sorted(plan.nodes[index].constants)
    settings = sorted((wanted.settings or {}).items())
    return hashlib.sha256(encode_records([(str(wanted.block), secret, given, settings)])).digest()


def _digest(wanted: Wanted, plan: Plan) -> bytes:
    """Of what is asked for. Values of secrets are left out: who reads the database must not be able to guess them."""
    secret = {plan.nodes[index].constants.get("name") for index in secret_inputs(plan)}
    inputs = [(name, None if name in secret else value) for name, value in sorted(wanted.inputs.items())]
    credentials = sorted((name, ref.id) for name, ref in (wanted.credentials or {}).items())
    settings = sorted((wanted.settings or {}).items())
    return hashlib.sha256(encode_records([(str(wanted.graph), wanted.version, inputs, settings, credentials)])).digest()
