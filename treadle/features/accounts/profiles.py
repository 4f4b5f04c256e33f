"""What people say of themselves: any JSON object, as long as it is small and can be stored."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.features.accounts.errors import ValidationFailed

if TYPE_CHECKING:
    from treadle.features.accounts.models import User

INVITATION = "invitation"
"""The field in which a client hands over the token of an invitation."""
_LARGEST = 8_000
"""Bytes of JSON: it travels in every access token."""


def checked_profile(said: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of what somebody says of themselves. It gives them no right to anything.

    Raises:
        ValidationFailed: it is too large, or holds what cannot be stored.
    """
    profile = dict(said or {})
    try:
        size = len(json.dumps(profile, ensure_ascii=False, allow_nan=False).encode())
    except ValueError:
        raise ValidationFailed("data holds what cannot be stored", fix="Send plain JSON.") from None
    if size > _LARGEST:
        raise ValidationFailed(f"data has more than {_LARGEST} bytes", fix="Keep less there.")
    if _has_nul(profile):
        raise ValidationFailed("data holds what cannot be stored", fix="Leave NUL out.")
    return profile


def merged(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is known with what is said now; null takes a field away. Raises as ``checked_profile``."""
    both = {**before, **said}
    return checked_profile({name: value for name, value in both.items() if value is not None})


def name_of(user: "User") -> str:
    """What to call a person: the name that they give, else what stands before the @ of their address."""
    for key in ("name", "full_name", "user_name"):
        name = user.profile.get(key)
        if isinstance(name, str) and name.strip():
            return name.strip()[:200]
    return (user.email or "").partition("@")[0]


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any("\0" in str(name) or _has_nul(each) for name, each in value.items())
    return isinstance(value, list) and any(_has_nul(each) for each in value)
