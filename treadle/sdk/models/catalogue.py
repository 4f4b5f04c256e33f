"""Which providers and models are known: read once from ``catalogue.toml``. Other models' names are accepted as well."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

_VERSION = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


@dataclass(frozen=True, slots=True)
class Provider:
    """How to speak to a provider; the fields are explained in ``catalogue.toml``."""

    name: str
    title: str
    api: Literal["openai", "anthropic", "gemini", "mistral"]
    base_url: str
    keyless: bool = False
    slashes: bool = False
    prefixes: tuple[str, ...] = ()
    max_tokens: str = "max_tokens"
    structured: Literal["schema", "object"] = "schema"
    usage_option: bool = True
    one_call: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names that the provider's keys may be sent to."""
        host = urlsplit(self.base_url).hostname
        return (host,) if host else ()


@dataclass(frozen=True, slots=True)
class Model:
    """What is known about a model."""

    name: str
    provider: str
    input: float | None = None
    """US dollars per million tokens sent."""
    output: float | None = None
    """US dollars per million tokens answered."""
    window: int | None = None
    max_output: int | None = None
    structured: Literal["", "schema", "object", "none"] = ""
    """What the model takes where that differs from its provider's other models."""

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for so many tokens; None when the price is not known."""
        if self.input is None or self.output is None:
            return None
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


@cache
def providers() -> dict[str, Provider]:
    """All providers by name."""
    table = _data()["providers"]
    return {
        name: Provider(name=name, **{**fields, "prefixes": tuple(fields.get("prefixes", ()))})
        for name, fields in table.items()
    }


@cache
def models() -> tuple[Model, ...]:
    """All known models, in the order of the file."""
    return tuple(
        Model(name=name, provider=provider, **fields)
        for provider, table in _data()["models"].items()
        for name, fields in table.items()
    )


def find(name: str, provider: str | None = None) -> Model | None:
    """The known model of this name, at this provider or anywhere; a date or ``-latest`` at its end may differ."""
    return _index().get((provider, name)) or _index().get((provider, _VERSION.sub("", name)))


@cache
def _index() -> dict[tuple[str | None, str], Model]:
    index: dict[tuple[str | None, str], Model] = {}
    for model in models():
        for name in (model.name, _VERSION.sub("", model.name)):
            index.setdefault((model.provider, name), model)
            index.setdefault((None, name), model)
    return index


@cache
def _data() -> dict[str, dict[str, dict[str, Any]]]:
    text = files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
