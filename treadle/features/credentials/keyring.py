"""The credentials that an install has: from the environment, and from ``credentials.json`` in the data folder.

The file holds ``{"credentials": [{"id", "provider", "type", "secret", "title", "username", "hosts", "headers"}, ...]}``
and must be readable by its owner only. It is read again when it changes.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from treadle.base.errors import ConfigurationError
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.integration import CredentialsSetup

FILE = "credentials.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: str
    provider: str
    type: AuthKind
    title: str = ""
    secret: SecretStr = SecretStr("")
    username: str = ""
    hosts: tuple[str, ...] = ()
    headers: dict[str, SecretStr] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    credentials: list[_Entry]


class Keyring:
    """All credentials of an install. ``setups`` say which variables mean what, and to which hosts secrets may go."""

    def __init__(self, setups: Sequence[CredentialsSetup], environ: Mapping[str, str], home: Path) -> None:
        self.file = home / FILE
        self._hosts = {setup.provider: setup.hosts for setup in setups}
        self._from_environment = list(_from_environment(setups, environ))
        self._variables = {setup.provider: _to_set(setup) for setup in setups}
        self._read: tuple[tuple[int, int], list[Credentials]] = ((0, 0), [])

    def all(self) -> list[Credentials]:
        """Those of the file, then those of the environment.

        Raises:
            ConfigurationError: the file can be read by others, or is not of the right form.
        """
        return [*self._from_file(), *self._from_environment]

    def remedy(self, provider: str) -> str:
        """What a person has to do so that there are credentials of this provider."""
        variables = self._variables.get(provider)
        return f"Set {variables}, or add them to {self.file}." if variables else f"Add them to {self.file}."

    def _from_file(self) -> list[Credentials]:
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return []
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"{self.file} can be read by other users", fix=f"Run: chmod 600 {self.file}")
        version = (found.st_mtime_ns, found.st_size)
        if version != self._read[0]:
            self._read = (version, [self._credentials(entry) for entry in self._entries()])
        return self._read[1]

    def _entries(self) -> Iterable[_Entry]:
        try:
            return _File.model_validate_json(self.file.read_bytes()).credentials
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise ConfigurationError(
                f"{self.file} is not of the right form: {where}",
                fix='Write {"credentials": [{"id": "...", "provider": "...", "type": "api_key", "secret": "..."}]}.',
            ) from None

    def _credentials(self, entry: _Entry) -> Credentials:
        """Hosts of known providers are the manifest's; others need their own."""
        hosts = self._hosts.get(entry.provider, ()) or entry.hosts
        return Credentials(
            entry.id, entry.provider, entry.type, entry.secret, entry.username, dict(entry.headers), hosts
        )


def _from_environment(setups: Iterable[CredentialsSetup], environ: Mapping[str, str]) -> Iterator[Credentials]:
    for setup in setups:
        given = [environ[name].strip() for name in setup.variables if environ.get(name, "").strip()]
        if setup.kind is AuthKind.USER_PASSWORD:
            if len(given) == len(setup.variables):
                yield _made(setup, given[1], username=given[0])
        elif given:
            yield _made(setup, given[0])


def _to_set(setup: CredentialsSetup) -> str:
    """The environment variables that a person sets: both of a user and password, else the preferred one."""
    return " and ".join(setup.variables if setup.kind is AuthKind.USER_PASSWORD else setup.variables[:1])


def _made(setup: CredentialsSetup, secret: str, username: str = "") -> Credentials:
    name = f"environment:{setup.provider}"
    return Credentials(name, setup.provider, setup.kind, SecretStr(secret), username, hosts=setup.hosts)
