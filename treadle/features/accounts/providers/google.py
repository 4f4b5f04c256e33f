"""Google, by OpenID Connect."""

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from treadle.base.clock import Clock
from treadle.features.accounts.addresses import normalised
from treadle.features.accounts.errors import BadEmail, ElsewhereFailed
from treadle.features.accounts.providers.asking import asked, text_of
from treadle.features.accounts.providers.provider import Trip, Vouched, Wishes, issuer_of
from treadle.features.accounts.recent import Recent
from treadle.features.accounts.remote_keys import RemoteKeys
from treadle.sdk.context import Http

USUAL = "https://accounts.google.com"
_SCOPES = ("openid", "email", "profile")
_PLACES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_PLACE_SECONDS = 3_600.0
"""For how long it is remembered where Google is."""
_CLOCKS_SECONDS = 30.0
"""By how much Google's clock and ours may differ."""
# Times are compared with the clock that we were given, and there are two ways to write the issuer.
_CHECKED: Any = {
    "require": ["exp", "iat", "sub", "iss", "aud"],
    "strict_aud": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


class Google:
    """A ``Provider``. ``address`` is its issuer, which says itself where everything else is."""

    name = "google"
    title = "Google"

    def __init__(self, http: Http, address: str, client_id: str, client_secret: SecretStr, clock: Clock) -> None:
        self._http = http
        self._address = address
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._places = Recent(self._ask_places, _PLACE_SECONDS, clock.monotonic)
        self._keys = RemoteKeys(self._ask_keys, self._host, clock)
        self.issuer = issuer_of(self.name, address, USUAL)

    @property
    def _host(self) -> str:
        return urlsplit(self._address).netloc

    async def departure(self, trip: Trip, wishes: Wishes) -> str:
        query = {
            "client_id": self._client_id,
            "redirect_uri": trip.callback,
            "response_type": "code",
            "scope": " ".join(dict.fromkeys((*_SCOPES, *wishes.scopes))),
            "state": trip.state,
            "nonce": trip.nonce,
            "code_challenge": trip.challenge,
            "code_challenge_method": "S256",
            "prompt": wishes.prompt,
            "login_hint": wishes.login,
        }
        page = (await self._places.get(self._address))["authorization_endpoint"]
        return f"{page}?{urlencode({k: v for k, v in query.items() if v})}"

    async def arrival(self, trip: Trip, code: str, issuer: str | None) -> Vouched:
        if issuer is not None and issuer != self._address:
            raise self._nonsense("somebody else has sent the browser back")
        claims = await self._claims(await self._token(trip, code), trip.nonce)
        subject = text_of(claims, "sub", 255)
        if not subject:
            raise self._nonsense("it does not say who has come")
        name, picture = text_of(claims, "name", 200), text_of(claims, "picture")
        email = _verified(claims)
        profile = {"name": name, "full_name": name, "avatar_url": picture}
        profile = {key: value for key, value in profile.items() if value}
        kept = {**profile, "iss": self._address, "provider_id": subject, "email_verified": email is not None}
        return Vouched(subject, email, profile, kept)

    async def _token(self, trip: Trip, code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "code": code,
            "redirect_uri": trip.callback,
            "code_verifier": trip.verifier,
        }
        address = (await self._places.get(self._address))["token_endpoint"]
        status, answer = await asked(self._http, "POST", address, form=form, secret=self._client_secret)
        token = text_of(answer, "id_token", 16_000)
        if status != 200 or not token:
            raise self._nonsense(f"it does not take the code: {text_of(answer, 'error', 100) or f'status {status}'}")
        return token

    async def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """What a token says that Google has signed just now, for us and for this trip."""
        import jwt  # noqa: PLC0415 (slow to load)

        try:
            key = await self._keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise self._nonsense("its token is signed with a key that is not its own")
            claims: Mapping[str, Any] = jwt.decode(
                token, key.key, algorithms=[key.algorithm], audience=self._client_id, options=_CHECKED
            )
            if not self._is_for(claims, nonce):
                raise self._nonsense("its token is for something else")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise self._nonsense("its token is not what it should be") from None
        return claims

    def _is_for(self, claims: Mapping[str, Any], nonce: str) -> bool:
        said, now = str(claims.get("nonce", "")), self._clock.now().timestamp()
        return (
            claims["iss"] in (self._address, self._address.partition("://")[2])
            and claims.get("azp", self._client_id) == self._client_id
            and hmac.compare_digest(said.encode("utf-8", "surrogatepass"), nonce.encode())
            and float(claims["iat"]) - _CLOCKS_SECONDS <= now < float(claims["exp"]) + _CLOCKS_SECONDS
        )

    # ---- where Google is ----------------------------------------------------------------------------------------

    async def _ask_places(self, address: str) -> dict[str, str]:
        """The addresses of Google's own description (OpenID Connect Discovery)."""
        status, answer = await asked(self._http, "GET", f"{address}/.well-known/openid-configuration")
        places = {name: text_of(answer, name) for name in _PLACES}
        scheme = f"{address.partition('://')[0]}://"  # http is for a stand-in on the own machine
        good = status == 200 and text_of(answer, "issuer") == address
        if not good or not all(each.startswith(scheme) for each in places.values()):
            raise self._nonsense("it does not say where to ask")
        return places

    async def _ask_keys(self) -> Any:
        status, answer = await asked(self._http, "GET", (await self._places.get(self._address))["jwks_uri"])
        if status != 200:
            raise self._nonsense(f"it gives out no keys: status {status}")
        return answer

    def _nonsense(self, what: str) -> ElsewhereFailed:
        return ElsewhereFailed(self._host, what)


def _verified(claims: Mapping[str, Any]) -> str | None:
    """The address, if Google has seen that it is theirs."""
    if claims.get("email_verified") is not True:
        return None
    try:
        return normalised(text_of(claims, "email", 320))
    except BadEmail:
        return None
