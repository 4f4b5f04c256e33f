"""GitHub, or a GitHub Enterprise Server."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from treadle.features.accounts.addresses import normalised
from treadle.features.accounts.errors import BadEmail, ElsewhereFailed
from treadle.features.accounts.providers.asking import asked, text_of
from treadle.features.accounts.providers.provider import Trip, Vouched, Wishes, issuer_of
from treadle.sdk.context import Http

USUAL = "https://github.com"
_SCOPE = "user:email"
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GitHub:
    """A ``Provider``. ``address`` is where its pages are; what it says comes from its API."""

    name = "github"
    title = "GitHub"

    def __init__(self, http: Http, address: str, client_id: str, client_secret: SecretStr) -> None:
        self._http = http
        self._address = address
        self._api = "https://api.github.com" if address == USUAL else f"{address}/api/v3"
        self._client_id = client_id
        self._client_secret = client_secret
        self.issuer = issuer_of(self.name, address, USUAL)

    async def departure(self, trip: Trip, wishes: Wishes) -> str:
        query = {
            "client_id": self._client_id,
            "redirect_uri": trip.callback,
            "scope": " ".join(dict.fromkeys((_SCOPE, *wishes.scopes))),
            "state": trip.state,
            "code_challenge": trip.challenge,
            "code_challenge_method": "S256",
            "prompt": wishes.prompt,
            "login": wishes.login,
        }
        return f"{self._address}/login/oauth/authorize?{urlencode({k: v for k, v in query.items() if v})}"

    async def arrival(self, trip: Trip, code: str, issuer: str | None) -> Vouched:
        token = await self._token(trip, code)
        person = await self._get("/user", token)
        number = person.get("id") if isinstance(person, Mapping) else None
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            raise self._nonsense("it does not say who has come")
        email = _primary(await self._get("/user/emails?per_page=100", token))
        login, name = text_of(person, "login", 200), text_of(person, "name", 200)
        picture = text_of(person, "avatar_url")
        profile = {"name": name or login, "full_name": name or login, "user_name": login, "avatar_url": picture}
        profile = {key: value for key, value in profile.items() if value}
        claims = {**profile, "iss": self._api, "provider_id": str(number), "preferred_username": login}
        return Vouched(str(number), email, profile, {**claims, "email_verified": email is not None})

    async def _token(self, trip: Trip, code: str) -> str:
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "code": code,
            "redirect_uri": trip.callback,
            "code_verifier": trip.verifier,
        }
        address = f"{self._address}/login/oauth/access_token"
        status, answer = await asked(self._http, "POST", address, form=form, secret=self._client_secret)
        token = text_of(answer, "access_token")
        if status != 200 or not token or not token.isascii() or not token.isprintable():  # a refusal has status 200
            raise self._nonsense(f"it does not take the code: {text_of(answer, 'error', 100) or f'status {status}'}")
        return token

    async def _get(self, path: str, token: str) -> Any:
        headers = {**_HEADERS, "Authorization": f"Bearer {token}"}
        status, answer = await asked(self._http, "GET", f"{self._api}{path}", headers=headers)
        if status != 200:
            raise self._nonsense(f"it answers {path.partition('?')[0]} with the status {status}")
        return answer

    def _nonsense(self, what: str) -> ElsewhereFailed:
        return ElsewhereFailed(urlsplit(self._address).netloc, what)


def _primary(answer: Any) -> str | None:
    """The address that somebody has chosen for their mail, if GitHub has seen that it is theirs."""
    for each in answer if isinstance(answer, list) else ():
        if isinstance(each, Mapping) and each.get("primary") is True and each.get("verified") is True:
            try:
                return normalised(text_of(each, "email", 320))
            except BadEmail:
                return None
    return None
