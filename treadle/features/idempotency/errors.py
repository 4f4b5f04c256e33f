"""Why a request with a key is not answered."""

from typing import ClassVar

from treadle.base.errors import BadInput, Conflict


class KeyUsedDifferently(BadInput):
    """The key belongs to another request."""

    code: ClassVar[str] = "idempotency_key_reused"


class StillGoingOn(Conflict):
    """The same request is being done at this moment, and takes long."""

    code: ClassVar[str] = "idempotency_key_in_use"
