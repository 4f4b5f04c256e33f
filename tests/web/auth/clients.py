"""The official clients of Supabase Auth, each behind the same few words, so that both can be held to the same story."""

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthError
from supabase_auth.types import UserIdentity

KEY = "sb_publishable_any-will-do"
"""The clients want one; our server does not ask for it."""
_SCRIPT = Path(__file__).parent / "javascript"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """What a client makes of a failure."""

    kind: str
    message: str
    status: int | None
    code: str | None
    reasons: list[str] | None = None


class Caller(Protocol):
    """One client on one device."""

    def sign_up(self, email: str, password: str, **options: Any) -> Any: ...
    def sign_in(self, email: str, password: str) -> Any: ...
    def refresh(self, token: str | None = None) -> Any: ...
    def user(self, token: str | None = None) -> Any: ...
    def claims(self) -> Any: ...
    def update(self, **changes: Any) -> Any: ...
    def sign_out(self, scope: str) -> None: ...
    def recover(self, email: str, page: str | None = None) -> None: ...
    def verify(self, kind: str, token: str) -> Any: ...
    def oauth(self, provider: str, page: str) -> str: ...
    def exchange(self, code: str) -> Any: ...
    def link(self, provider: str, page: str) -> str: ...
    def unlink(self, identity: Any) -> None: ...


class PythonCaller:
    """The client for Python."""

    def __init__(self, url: str, flow: str) -> None:
        options = ClientOptions(auto_refresh_token=False, flow_type=flow)  # type: ignore[arg-type]
        self._client: Client = create_client(url, KEY, options)
        self._auth = self._client.auth

    def sign_up(self, email: str, password: str, **options: Any) -> Any:
        asked: Any = {"email": email, "password": password, "options": options}
        found = self._told(lambda: self._auth.sign_up(asked))
        return found["session"] or {"user": found["user"]}

    def sign_in(self, email: str, password: str) -> Any:
        return self._told(lambda: self._auth.sign_in_with_password({"email": email, "password": password}))["session"]

    def refresh(self, token: str | None = None) -> Any:
        return self._told(lambda: self._auth.refresh_session(token))["session"]

    def user(self, token: str | None = None) -> Any:
        return self._told(lambda: self._auth.get_user(token))["user"]

    def claims(self) -> Any:
        with _told():
            found = self._auth.get_claims()
        assert found is not None
        return found["claims"]

    def update(self, **changes: Any) -> Any:
        return self._told(lambda: self._auth.update_user(changes))["user"]  # type: ignore[arg-type]

    def sign_out(self, scope: str) -> None:
        with _told():
            self._auth.sign_out({"scope": scope})  # type: ignore[arg-type]

    def recover(self, email: str, page: str | None = None) -> None:
        with _told():
            self._auth.reset_password_for_email(email, {"redirect_to": page} if page else {})

    def verify(self, kind: str, token: str) -> Any:
        return self._told(lambda: self._auth.verify_otp({"type": kind, "token_hash": token}))["session"]  # type: ignore[typeddict-item]

    def oauth(self, provider: str, page: str) -> str:
        with _told():
            return self._auth.sign_in_with_oauth(
                {"provider": provider, "options": {"redirect_to": page}}  # type: ignore[typeddict-item]
            ).url

    def exchange(self, code: str) -> Any:
        params = {"auth_code": code}
        return self._told(lambda: self._auth.exchange_code_for_session(params))["session"]  # type: ignore[arg-type]

    def link(self, provider: str, page: str) -> str:
        with _told():
            return self._auth.link_identity(
                {"provider": provider, "options": {"redirect_to": page}}  # type: ignore[typeddict-item]
            ).url

    def unlink(self, identity: Any) -> None:
        with _told():
            self._auth.unlink_identity(UserIdentity(**identity))

    def close(self) -> None:
        self._auth.close()

    def _told(self, call: Any) -> Any:
        with _told():
            return json.loads(call().model_dump_json())


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except AuthError as error:
        raise Refusal(
            error.__class__.__name__,
            error.message,
            getattr(error, "status", None),
            error.code,
            getattr(error, "reasons", None),
        ) from error


class JavascriptCaller:
    """The client for JavaScript, in a process of Node's."""

    def __init__(self, process: "subprocess.Popen[str]", name: str, flow: str) -> None:
        self._process = process
        self._name = name
        self._options = {"flowType": flow}

    def sign_up(self, email: str, password: str, **options: Any) -> Any:
        found = self._call("signUp", {"email": email, "password": password, "options": options})
        return found["session"] or {"user": found["user"]}

    def sign_in(self, email: str, password: str) -> Any:
        return self._call("signInWithPassword", {"email": email, "password": password})["session"]

    def refresh(self, token: str | None = None) -> Any:
        return self._call("refreshSession", *([{"refresh_token": token}] if token else []))["session"]

    def user(self, token: str | None = None) -> Any:
        return self._call("getUser", *([token] if token else []))["user"]

    def claims(self) -> Any:
        return self._call("getClaims")["claims"]

    def update(self, **changes: Any) -> Any:
        return self._call("updateUser", changes)["user"]

    def sign_out(self, scope: str) -> None:
        self._call("signOut", {"scope": scope})

    def recover(self, email: str, page: str | None = None) -> None:
        self._call("resetPasswordForEmail", email, {"redirectTo": page} if page else {})

    def verify(self, kind: str, token: str) -> Any:
        return self._call("verifyOtp", {"type": kind, "token_hash": token})["session"]

    def oauth(self, provider: str, page: str) -> str:
        asked = {"provider": provider, "options": {"redirectTo": page, "skipBrowserRedirect": True}}
        return str(self._call("signInWithOAuth", asked)["url"])

    def exchange(self, code: str) -> Any:
        return self._call("exchangeCodeForSession", code)["session"]

    def link(self, provider: str, page: str) -> str:
        asked = {"provider": provider, "options": {"redirectTo": page, "skipBrowserRedirect": True}}
        return str(self._call("linkIdentity", asked)["url"])

    def unlink(self, identity: Any) -> None:
        self._call("unlinkIdentity", identity)

    def _call(self, method: str, *arguments: Any) -> Any:
        call = {"client": self._name, "options": self._options, "method": method, "args": arguments}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["error"] is not None:
            error = answer["error"]
            raise Refusal(error["name"], error["message"], error["status"], error["code"], error["reasons"])
        return answer["data"]


@contextlib.contextmanager
def javascript_process(url: str) -> Iterator["subprocess.Popen[str]"]:
    """Node with the client, until the context ends."""
    process = subprocess.Popen(
        ["node", "client.js", url, KEY],
        cwd=node_folder(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def node_folder() -> Path:
    """A folder with the scripts and what they need, exactly as the lock says; made once for each state of them."""
    files = ("package.json", "package-lock.json", "client.js", "page.js")
    digest = hashlib.sha256(b"".join((_SCRIPT / name).read_bytes() for name in files)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"treadle-auth-clients-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in files:
                shutil.copy(_SCRIPT / name, folder / name)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
            (folder / "installed").touch()
    return folder


class Devices:
    """As many clients of one kind as a story needs."""

    def __init__(self, language: str, url: str, process: Any) -> None:
        self._language = language
        self._url = url
        self._process = process
        self._made: list[PythonCaller] = []

    def __call__(self, flow: str = "pkce") -> Caller:
        if self._language == "javascript":
            return JavascriptCaller(self._process, uuid4().hex, flow)
        self._made.append(PythonCaller(self._url, flow))
        return self._made[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()


def devices_of(language: str, url: str) -> Iterator[Devices]:
    """Clients of a language for the server at an address."""
    if language == "python":
        made = Devices(language, url, None)
        yield made
        made.close()
        return
    with javascript_process(url) as process:
        yield Devices(language, url, process)
