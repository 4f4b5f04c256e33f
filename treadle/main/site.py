"""A running platform as its HTTP interface sees it."""

from urllib.parse import urlsplit

from treadle.base.config import Settings
from treadle.base.migrations import release
from treadle.features.audit.reading import AuditLog
from treadle.features.idempotency.service import Idempotency
from treadle.features.library.folders import Folders
from treadle.features.library.importing import Importer
from treadle.features.library.presets import Presets
from treadle.main.people import people_of
from treadle.main.wiring import Platform
from treadle.web.builder.block_catalogue import BlockCatalogue
from treadle.web.edge import Edge, Limited, Rates
from treadle.web.live.visitors import Visitors
from treadle.web.rate_limits import Rate
from treadle.web.site import Site
from treadle.web.tracing import tracer_from_environment


def site_of(platform: Platform, start_token: str | None, url: str) -> Site:
    """The platform as the routes see it, reached at ``url``; ``start_token`` is that of whoever holds the machine.

    It works by itself, and hears at once of what other processes change within ``told_of_changes``.
    """
    people = people_of(platform, start_token, url)
    return Site(
        accounts=people.accounts,
        sessions=people.sessions,
        door=people.door,
        workspaces=people.workspaces,
        api_keys=people.api_keys,
        invitations=people.invitations,
        directory=people.directory,
        audit_log=AuditLog(platform.database, platform.accounts_database),
        graphs=platform.graphs,
        executions=platform.executions,
        library=platform.library,
        importer=Importer(platform.database, platform.library, platform.graphs, platform.registry),
        folders=Folders(platform.database),
        presets=Presets(platform.database, platform.graphs, platform.executions, platform.seals),
        files=platform.files,
        idempotency=Idempotency(platform.database.transaction),
        account_idempotency=Idempotency(platform.accounts_database.shared),
        registry=platform.registry,
        catalogue=BlockCatalogue(platform.registry),
        search=platform.search,
        worker=platform.worker,
        feed=platform.feed,
        visitors=Visitors(people.accounts),
        vault=platform.vault,
        credentials=platform.credentials,
        version=release(),
    )


def edge_of(settings: Settings) -> Edge:
    """The edge that the settings ask for."""
    public = urlsplit(settings.public_url)
    own = {f"{public.scheme}://{public.netloc}"} if settings.public_url else set()
    return Edge(
        names=frozenset({settings.host, public.hostname or ""}),
        origins=frozenset({*own, *settings.allowed_origins}),
        proxies=tuple(sorted(settings.trusted_proxies)),
        limited=_limited(settings),
        rates=Rates(
            general=Rate("general", settings.rate_general),
            starts=Rate("starts", settings.rate_starts),
            external=Rate("external", settings.rate_external),
        ),
        metrics_token=settings.metrics_token.get_secret_value(),
        local_only=settings.host in ("127.0.0.1", "localhost", "::1") and not settings.trusted_proxies,
        tracer=tracer_from_environment(),
    )


def _limited(settings: Settings) -> Limited:
    if settings.rate_limits != "auto":
        return Limited(settings.rate_limits)
    return Limited.EVERYBODY if settings.environment == "production" else Limited.KEYS
