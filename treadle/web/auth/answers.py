"""Sessions and people as the clients of Supabase Auth expect them."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from treadle.base.ids import uuid7
from treadle.features.accounts.providers.provider import provider_name
from treadle.features.accounts.sessions import Person, SignedIn, provider_names
from treadle.web.auth.bodies import IdentityAnswer, SessionAnswer, UserAnswer

if TYPE_CHECKING:
    from treadle.features.accounts.models import AccountIdentity


def session_answer(signed_in: SignedIn) -> SessionAnswer:
    """A session."""
    return SessionAnswer(
        access_token=signed_in.access_token,
        expires_in=signed_in.expires_in,
        expires_at=signed_in.expires_at,
        refresh_token=signed_in.refresh_token,
        user=user_answer(signed_in.person),
    )


def user_answer(person: Person) -> UserAnswer:
    """Somebody."""
    user = person.user
    return UserAnswer(
        id=user.id,
        email=user.email or "",
        email_confirmed_at=user.email_confirmed_at,
        confirmed_at=user.email_confirmed_at,
        new_email=person.new_email,
        last_sign_in_at=user.last_sign_in_at,
        app_metadata=provider_names(person.identities),
        user_metadata=user.profile,
        identities=[_identity(each) for each in person.identities],
        created_at=user.created_at,
        updated_at=user.updated_at,
    )


def unconfirmed_answer(id: UUID, email: str, data: dict[str, object], now: datetime) -> UserAnswer:
    """Somebody who has yet to confirm an address. The same for an address that has an account."""
    profile = {name: value for name, value in data.items() if name != "invitation"}
    identity = IdentityAnswer(
        identity_id=uuid7(),
        id=str(id),
        user_id=id,
        identity_data={**profile, "email": email, "email_verified": False, "sub": str(id)},
        provider="email",
        email=email,
        last_sign_in_at=now,
        created_at=now,
        updated_at=now,
    )
    return UserAnswer(
        id=id,
        email=email,
        confirmation_sent_at=now,
        app_metadata={"provider": "email", "providers": ["email"]},
        user_metadata=profile,
        identities=[identity],
        created_at=now,
        updated_at=now,
    )


def _identity(row: "AccountIdentity") -> IdentityAnswer:
    email = row.issuer == "email"
    subject = str(row.user_id) if email else row.subject
    return IdentityAnswer(
        identity_id=row.id,
        id=subject,
        user_id=row.user_id,
        identity_data={**row.profile, "sub": subject, **({"email": row.email} if row.email else {})},
        provider=provider_name(row.issuer),
        email=row.email,
        last_sign_in_at=row.last_sign_in_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
