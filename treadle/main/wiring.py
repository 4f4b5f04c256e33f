"""Puts the platform together: the one place that knows every implementation of every port."""

import asyncio
import contextlib
import dataclasses
import gc
import os
from collections.abc import AsyncIterator, Iterable, Set
from dataclasses import dataclass
from datetime import timedelta

from treadle.base.clock import SystemClock
from treadle.base.config import Settings
from treadle.base.crypto import KeyRing, key_ring
from treadle.base.data_keys import load_data_keys
from treadle.base.database import DatabaseUrls, create_pool, running_database
from treadle.base.errors import ConfigurationError
from treadle.base.ids import WorkspaceId
from treadle.base.migrations import migrate
from treadle.base.reading import WorkspaceReader
from treadle.base.sessions import AccountsDatabase, WorkspaceDatabase
from treadle.blocks.catalogue import ALL_BLOCKS, WORKER_FUNCTIONS
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.ports import AtOnce, Limits, Services
from treadle.engine.rates import AccountRates
from treadle.engine.store import Store
from treadle.engine.worker import Worker
from treadle.features.credentials.errors import CredentialsUse
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.providers import keyless, known_providers, known_setups
from treadle.features.credentials.seals import KeySeals
from treadle.features.credentials.service import CredentialsSource
from treadle.features.credentials.vault import UsesOf, Vault
from treadle.features.executions.service import Executions
from treadle.features.files.scanner import ClamdScanner, ScanPolicy
from treadle.features.files.service import FileQuota, Files
from treadle.features.files.store import LocalFileStore
from treadle.features.graphs.sealing import seal_earlier_versions
from treadle.features.graphs.service import Graphs
from treadle.features.graphs.storage import GraphStorage
from treadle.features.library.current import CurrentAgents
from treadle.features.library.service import Library
from treadle.features.live.feed import Feed
from treadle.features.search.embedders import EMBED, Embedder, LocalEmbedder, ServiceEmbedder
from treadle.features.search.repository import Texts
from treadle.features.search.service import Search
from treadle.integrations.catalogue import ALL_BLOCKS as INTEGRATION_BLOCKS
from treadle.main.doors import PlatformDoors
from treadle.main.housekeeping import keep_house
from treadle.main.live import live_feed
from treadle.sdk.block import Block
from treadle.sdk.compute import ComputePool
from treadle.sdk.http import EgressClient
from treadle.sdk.registry import Registry

MODEL_IDLE_SECONDS = 30.0
"""For how long the process with the embedding model is kept when nobody searches: it takes 200 MB."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform."""

    settings: Settings
    urls: DatabaseUrls
    database: WorkspaceDatabase
    registry: Registry
    graphs: Graphs
    executions: Executions
    library: Library
    seals: KeySeals
    files: Files
    vault: Vault
    credentials: CredentialsSource
    store: Store
    worker: Worker
    doors: PlatformDoors
    http: EgressClient
    search: Search
    ring: KeyRing
    accounts_database: AccountsDatabase
    feed: Feed


def make_registry(disabled: Iterable[str] = (), more: Iterable[Block] = ()) -> Registry:
    """All blocks of this install, and ``more``.

    ``disabled`` holds names, titles or ids of those that the operator has switched off, in capitals or not.

    Raises:
        ConfigurationError: one of these is no block's, so that a block might be on that should be off.
    """
    blocks = (*ALL_BLOCKS, *INTEGRATION_BLOCKS, *more)
    off = {each.casefold(): each for each in disabled}
    known = {name for block in blocks for name in _names(block)}
    if wrong := [given for name, given in off.items() if name not in known]:
        raise ConfigurationError(
            f"TREADLE_DISABLED_BLOCKS names {', '.join(map(repr, sorted(wrong)))[:300]}, which no block is called.",
            fix="Write a name that `treadle blocks` prints, or leave it out.",
        )
    return Registry(_switched(each, off.keys()) for each in blocks)


def _names(block: Block) -> set[str]:
    return {each.casefold() for each in (block.name, block.title, block.id)}


def _switched(block: Block, off: Set[str]) -> Block:
    if not off.isdisjoint(_names(block)):
        return dataclasses.replace(block, disabled="the operator of this install has switched it off")
    return block


@contextlib.asynccontextmanager
async def running_platform(
    settings: Settings, more_blocks: Iterable[Block] = (), *, works: bool = True
) -> AsyncIterator[Platform]:
    """The platform with its database, migrated, for as long as the context lasts.

    Its worker runs what is queued; without ``works`` it is not started, for a process that only looks and tells.
    """
    async with running_database(settings) as urls:
        await migrate(urls, settings)
        async with contextlib.AsyncExitStack() as stack:
            yield await _assemble(settings, urls, stack, more_blocks, works)


async def _assemble(
    settings: Settings, urls: DatabaseUrls, stack: contextlib.AsyncExitStack, more_blocks: Iterable[Block], works: bool
) -> Platform:
    registry = make_registry(settings.disabled_blocks, more_blocks)
    pool = await create_pool(urls.engine, min_size=0, max_size=4)
    stack.callback(pool.terminate)
    reader = await WorkspaceReader.open(urls.api)
    stack.callback(reader.close)
    database = WorkspaceDatabase(urls.api)
    stack.push_async_callback(database.close)
    accounts_database = AccountsDatabase(urls.auth)
    stack.push_async_callback(accounts_database.close)
    http = EgressClient(allow=_places(settings.egress_allow))
    stack.push_async_callback(http.aclose)
    compute = ComputePool(WORKER_FUNCTIONS)
    stack.push_async_callback(compute.aclose)
    thinking = ComputePool([EMBED], workers=1, idle_seconds=MODEL_IDLE_SECONDS)
    stack.push_async_callback(thinking.aclose)
    search = Search(reader, Texts(pool), registry, _embedder(settings, thinking, http))
    blobs = LocalBlobs(settings.home / "values")
    store = Store(pool, PostgresBell(pool), blobs)
    ring = key_ring(settings)
    async with pool.acquire() as connection:
        seals = KeySeals(await load_data_keys(connection, ring), ring)
    vault = Vault(database, ring, known_providers())
    credentials = credentials_of_install(settings, vault)
    graphs = Graphs(GraphStorage(database), store, registry, seals)
    vault.tell_uses(_agents_that_use(graphs))
    files = _files(settings, database)
    doors = PlatformDoors(http, compute, pool, settings.home / "scratch", files)
    services = Services(
        registry=registry,
        clock=SystemClock(),
        doors=doors,
        credentials=credentials,
        agents=graphs,
        blobs=blobs,
        limits=_limits(settings),
        rates=AccountRates(settings.provider_rates, SystemClock()) if settings.provider_rates else None,
        seals=seals,
    )
    at_once = AtOnce(settings.concurrent_runs_per_workspace, settings.concurrent_runs_per_agent)
    worker = Worker(urls.engine, services, at_once=at_once, most_deaths=settings.max_worker_deaths)
    feed = await live_feed(urls, worker, doors, stack, works=works)
    if works:
        await seal_earlier_versions(pool, graphs)
        await worker.start()
        stack.push_async_callback(worker.close)
    executing = worker if works else None
    current = CurrentAgents(reader)
    executions = Executions(store, reader, graphs, registry, blobs, credentials, executing, current, settings.timezone)
    if works:
        house = asyncio.create_task(keep_house(settings, urls, pool), name="housekeeping")
        stack.callback(house.cancel)
    library = Library(database, reader, graphs, registry, credentials)
    return Platform(
        settings,
        urls,
        database,
        registry,
        graphs,
        executions,
        library,
        seals,
        files,
        vault,
        credentials,
        store,
        worker,
        doors,
        http,
        search,
        ring,
        accounts_database,
        feed,
    )


def credentials_of_install(settings: Settings, vault: Vault | None = None) -> CredentialsSource:
    """All credentials: of the environment, of the file in the data folder, and of the workspaces in the vault."""
    keyring = Keyring(known_setups(), os.environ, settings.home)
    return CredentialsSource(keyring, keyless(), vault, settings.shared_providers)


def _embedder(settings: Settings, compute: ComputePool, http: EgressClient) -> Embedder:
    if settings.embeddings_url:
        return ServiceEmbedder(http, settings.embeddings_url, settings.embeddings_key, settings.embeddings_model)
    return LocalEmbedder(compute)


def _agents_that_use(graphs: Graphs) -> UsesOf:
    async def agents(workspace: WorkspaceId, id: str) -> list[CredentialsUse]:
        return [CredentialsUse("agent", *found) for found in await graphs.naming_credentials(workspace, id)]

    return agents


def _files(settings: Settings, database: WorkspaceDatabase) -> Files:
    policy = settings.scan_uploads
    if policy == "auto":
        policy = "required" if settings.environment == "production" else "if_available"
    quota = FileQuota(
        file_bytes=settings.file_max_bytes,
        workspace_bytes=settings.file_quota_bytes,
        files=settings.file_quota_count,
        keep=timedelta(hours=settings.file_keep_hours) if settings.file_keep_hours else None,
    )
    scanner = ClamdScanner(settings.clamav_host, settings.clamav_port)
    return Files(database, LocalFileStore(settings.home / "files"), scanner, ScanPolicy(policy), quota)


def _limits(settings: Settings) -> Limits:
    return Limits(
        firings=settings.max_firings,
        depth=settings.max_depth,
        wall_seconds=settings.max_wall_seconds,
        stored_bytes=settings.max_stored_bytes,
    )


def _places(allowed: Iterable[str]) -> frozenset[tuple[str, int]]:
    """``host:port`` texts, already validated, as pairs."""
    pairs = (place.rpartition(":") for place in allowed)
    return frozenset((host.strip("[]"), int(port)) for host, _, port in pairs)


def tune_garbage_collector() -> None:
    """Collect cycles less often, and never look again at what start-up made.

    A run's state is freed by reference counts; what remains for the collector is little, and walking a heap of a
    million live objects for it costs more than running the graph.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
