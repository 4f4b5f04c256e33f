"""Pins: the named inputs and outputs of a block, declared as pydantic models whose schema draws every form."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Inputs(BaseModel):
    """Base of a block's input pins. A field without a default is a required pin."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


class Outputs(BaseModel):
    """Base of a block's output pins. Every block also has ``error``, a text, added here once."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    error: str = Field(default="", title="Error", description="Why the block failed; only sent when it did.")


def pin(
    description: str = "",
    *,
    default: Any = ...,
    default_factory: Callable[[], Any] | None = None,
    title: str | None = None,
    placeholder: str | None = None,
    advanced: bool | None = None,
    secret: bool = False,
    hidden: bool = False,
    depends_on: Sequence[str] = (),
    format: str | None = None,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare one pin.

    ``advanced`` is true for optional pins unless said otherwise: forms fold such pins away. ``secret`` values are kept
    out of records, logs and exports. ``depends_on`` names pins that must have a value before this one makes sense.
    """
    required = default is ... and default_factory is None
    extra: dict[str, Any] = {"advanced": (not required) if advanced is None else advanced, "secret": secret}
    optional = {
        "placeholder": placeholder,
        "hidden": hidden or None,
        "depends_on": list(depends_on) or None,
        "format": format,
    }
    extra.update({key: value for key, value in optional.items() if value is not None})
    common: dict[str, Any] = {
        "title": title,
        "description": description or None,
        "json_schema_extra": extra,
        "ge": ge,
        "le": le,
    }
    if default_factory is not None:
        return Field(default_factory=default_factory, **common)
    return Field(default=default, **common)
