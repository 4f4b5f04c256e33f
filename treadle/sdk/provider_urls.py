"""Addresses that people paste: read strictly for the names inside them, and never used as addresses themselves.

The host to which a credential goes is always the manifest's; nothing that a person, a model or an agent file writes
into a pin can change it (cases S10, S12 and S13 of the security suite).
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from treadle.sdk.errors import InputRefused

_NAME = r"(?!\.{1,2}(?:/|#|$))[A-Za-z0-9_.-]{1,100}"
_KINDS = {"": _NAME, "int": r"[0-9]{1,18}", "any": r"[^/#?]{1,255}", "rest": r".{1,1000}"}
_PLACE = re.compile(r"\{(?P<name>[a-z_]+)(?::(?P<kind>[a-z]+))?\}")


@dataclass(frozen=True, slots=True)
class Address:
    """The forms in which pin ``pin`` may name a thing of a provider's site.

    ``paths`` are templates such as ``/{owner}/{repo}/issues/{number:int}``; the first that fits decides. ``plain``
    templates fit text that is no address (``{owner}/{repo}``). Queries are ignored; a fragment only counts where a
    template has one.
    """

    pin: str
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    example: str
    plain: tuple[str, ...] = ()

    def read(self, text: str) -> dict[str, str]:
        """The names in the address.

        Raises:
            InputRefused: it does not have one of the forms.
        """
        found = self._plain(text.strip()) or self._url(text.strip())
        if found is None:
            problem = f"{text[:200]!r} is not an address like {self.example}"
            raise InputRefused({self.pin: problem}, fix=f"Paste the address from the browser, like {self.example}.")
        return found

    def names(self) -> set[str]:
        """What ``read`` gives."""
        return {place["name"] for path in self.paths for place in _PLACE.finditer(path)}

    def _plain(self, text: str) -> dict[str, str] | None:
        return next((found for form in self.plain if (found := _fit(form, text)) is not None), None)

    def _url(self, text: str) -> dict[str, str] | None:
        parts = pasted(text, self.hosts)
        if parts is None:
            return None
        path = parts.path.rstrip("/")
        for form in self.paths:
            found = _fit(form, f"{path}#{parts.fragment}" if "#" in form else path)
            if found is not None:
                return found
        return None


def pasted(text: str, hosts: tuple[str, ...]) -> SplitResult | None:
    """The parts of an address of one of ``hosts``, its scheme left out or not; None when it is none."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.netloc.lower() in hosts else None


def _fit(form: str, text: str) -> dict[str, str] | None:
    match = re.fullmatch(_pattern(form), text)
    return None if match is None else {name: unquote(value) for name, value in match.groupdict().items()}


def _pattern(form: str) -> str:
    pattern, end = "", 0
    for place in _PLACE.finditer(form):
        pattern += re.escape(form[end : place.start()]) + f"(?P<{place['name']}>{_KINDS[place['kind'] or '']})"
        end = place.end()
    return pattern + re.escape(form[end:]).replace(r"/\*", "(?:/.*)?")
