"""A running platform as its HTTP interface sees it."""

from treadle.base.migrations import release
from treadle.features.accounts.service import Accounts
from treadle.main.wiring import Platform, credentials_source
from treadle.web.site import Site


def site_of(platform: Platform, start_token: str) -> Site:
    """The platform as the routes see it; ``start_token`` is that of whoever holds the machine."""
    return Site(
        accounts=Accounts(start_token),
        graphs=platform.graphs,
        executions=platform.executions,
        registry=platform.registry,
        worker=platform.worker,
        credentials=credentials_source(platform.settings),
        version=release(),
    )
