"""What can be wrong with signing in. The codes are those that the clients of Supabase Auth know."""

import math
from collections.abc import Sequence
from typing import ClassVar

from treadle.base.errors import BadInput, Forbidden, NotFound, RateLimited, TreadleError, Unauthorised, Unavailable


class InvalidCredentials(TreadleError):
    """The address or the password is wrong; which of them is not told."""

    code: ClassVar[str] = "invalid_credentials"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("Invalid login credentials", fix="Check the address and the password.")


class EmailNotConfirmed(TreadleError):
    """The address has not been confirmed yet."""

    code: ClassVar[str] = "email_not_confirmed"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("Email not confirmed", fix="Follow the link in the mail that was sent there.")


class AccountDisabled(TreadleError):
    """An administrator has disabled the account."""

    code: ClassVar[str] = "user_banned"
    status: ClassVar[int] = 403

    def __init__(self) -> None:
        super().__init__("This account is disabled.", fix="Ask an administrator of this installation.")


class WeakPassword(BadInput):
    """The password is too easy to guess, or cannot be one. ``reasons`` are the clients' words for it."""

    code: ClassVar[str] = "weak_password"

    def __init__(self, message: str, reasons: Sequence[str]) -> None:
        super().__init__(message, fix="Choose another password.")
        self.reasons = tuple(reasons)


class SamePassword(BadInput):
    """The new password is the old one."""

    code: ClassVar[str] = "same_password"

    def __init__(self) -> None:
        super().__init__("New password should be different from the old password.", fix="Choose another password.")


class UserExists(BadInput):
    """There is an account of this address."""

    code: ClassVar[str] = "user_already_exists"

    def __init__(self) -> None:
        super().__init__("User already registered", fix="Sign in, or have the password reset.")


class EmailTaken(BadInput):
    """Somebody else signs in with this address."""

    code: ClassVar[str] = "email_exists"

    def __init__(self) -> None:
        super().__init__("A user with this email address has already been registered", fix="Use another address.")


class BadEmail(BadInput):
    """It is no address to which mail could be sent."""

    code: ClassVar[str] = "email_address_invalid"


class ValidationFailed(BadInput):
    """Something of the request is missing or wrong."""

    code: ClassVar[str] = "validation_failed"


class UnsupportedGrant(TreadleError):
    """No session is given for what was sent."""

    code: ClassVar[str] = "validation_failed"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("unsupported_grant_type", fix="Use password, refresh_token or pkce.")


class AnonymousDisabled(BadInput):
    """An account needs an address."""

    code: ClassVar[str] = "anonymous_provider_disabled"

    def __init__(self) -> None:
        super().__init__("Anonymous sign-ins are disabled", fix="Send email and password.")


class SignUpClosed(TreadleError):
    """Nobody may make an account here without being invited."""

    code: ClassVar[str] = "signup_disabled"
    status: ClassVar[int] = 422

    def __init__(self) -> None:
        super().__init__(
            "Signups not allowed for this instance", fix="Ask somebody who is here already for an invitation."
        )


class RefreshTokenUnknown(TreadleError):
    """No session goes on with this token."""

    code: ClassVar[str] = "refresh_token_not_found"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("Invalid Refresh Token: Refresh Token Not Found", fix="Sign in again.")


class RefreshTokenUsed(TreadleError):
    """The token was used before, so somebody has a copy of it: the session has ended."""

    code: ClassVar[str] = "refresh_token_already_used"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("Invalid Refresh Token: Already Used", fix="Sign in again.")


class SessionExpired(TreadleError):
    """The session has ended, or was not used for too long."""

    code: ClassVar[str] = "session_expired"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("Invalid Refresh Token: Session Expired", fix="Sign in again.")


class NotSignedIn(Unauthorised):
    """There is no token."""

    code: ClassVar[str] = "no_authorization"

    def __init__(self) -> None:
        super().__init__("This endpoint requires a valid Bearer token", fix="Sign in.")


class BadToken(Forbidden):
    """The token was not issued here, was changed, or has run out."""

    code: ClassVar[str] = "bad_jwt"

    def __init__(self) -> None:
        super().__init__("invalid JWT: unable to parse or verify signature", fix="Sign in again.")


class SessionGone(Forbidden):
    """The token is genuine, and its session has ended."""

    code: ClassVar[str] = "session_not_found"

    def __init__(self) -> None:
        super().__init__("Session from session_id claim in JWT does not exist", fix="Sign in again.")


class LinkExpired(TreadleError):
    """The link or code is wrong, was used, or has run out."""

    code: ClassVar[str] = "otp_expired"
    status: ClassVar[int] = 403

    def __init__(self) -> None:
        super().__init__("Token has expired or is invalid", fix="Ask for a new link.")


class InvitationGone(NotFound):
    """The invitation is not there, was used or withdrawn, or has run out; which of that is not told."""

    code: ClassVar[str] = "invitation_gone"

    def __init__(self) -> None:
        super().__init__("The invitation is wrong, was used or withdrawn, or has run out.", fix="Ask for a new one.")


class FlowNotFound(TreadleError):
    """No such authorisation code is under way, or it was used already."""

    code: ClassVar[str] = "flow_state_not_found"
    status: ClassVar[int] = 404

    def __init__(self) -> None:
        super().__init__("invalid flow state, no valid flow state found", fix="Begin again.")


class BadVerifier(TreadleError):
    """The code was given to somebody else."""

    code: ClassVar[str] = "bad_code_verifier"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("code challenge does not match previously saved code verifier", fix="Begin again.")


class TooOften(RateLimited):
    """Tried too often: wait for ``seconds``."""

    code: ClassVar[str] = "over_request_rate_limit"

    def __init__(self, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__("Request rate limit reached", fix=f"Try again in {wait} seconds.", retry_after=wait)


class NoMail(TreadleError):
    """What was asked for goes by mail, and this installation sends none."""

    code: ClassVar[str] = "email_provider_disabled"
    status: ClassVar[int] = 422

    def __init__(self) -> None:
        super().__init__(
            "This installation sends no mail.", fix="Ask an administrator, who can run `treadle reset-password EMAIL`."
        )


class ProviderOff(TreadleError):
    """Nobody can sign in through this provider here."""

    code: ClassVar[str] = "validation_failed"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__(
            "Unsupported provider: provider is not enabled",
            fix="Its operator turns GitHub and Google on with SIGN_IN_GITHUB_CLIENT_ID or SIGN_IN_GOOGLE_CLIENT_ID.",
        )


class BadCallback(TreadleError):
    """A provider has sent the browser back without what is needed, or with a refusal."""

    code: ClassVar[str] = "bad_oauth_callback"
    status: ClassVar[int] = 400

    def __init__(self, message: str, error: str = "invalid_request") -> None:
        super().__init__(message, fix="Begin again.")
        self.error = error
        """The word for it of OAuth 2.0 (RFC 6749, 4.1.2.1)."""


class BadState(TreadleError):
    """The browser comes back from a redirect that was not begun in it, has ended already, or took too long."""

    code: ClassVar[str] = "bad_oauth_state"
    status: ClassVar[int] = 400

    def __init__(self) -> None:
        super().__init__("OAuth state not found or expired", fix="Begin again, in one browser.")


class AddressNotVerified(TreadleError):
    """The provider has not seen that the person's address is theirs."""

    code: ClassVar[str] = "provider_email_needs_verification"
    status: ClassVar[int] = 403

    def __init__(self, title: str) -> None:
        super().__init__(f"Unverified email with {title}.", fix=f"Have your primary address verified at {title}.")


class ElsewhereFailed(Unavailable):
    """Another company's server does not answer, or with what cannot be believed."""

    code: ClassVar[str] = "unexpected_failure"

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host} could not be asked who you are.", fix="Try again later; the server's log says more.")
        self.reason = reason
        """For the operator: it may tell of the network."""


class KeysUnavailable(Unavailable):
    """Whether a token is good cannot be told: whoever has issued it does not give out its keys at present."""

    code: ClassVar[str] = "issuer_unavailable"

    def __init__(self, whose: str) -> None:
        super().__init__(f"The keys of {whose} cannot be fetched, so your token cannot be checked.", fix="Try later.")


class NotAdmitted(Forbidden):
    """The token is good, and its person may have no account here."""

    code: ClassVar[str] = "signup_disabled"

    def __init__(self) -> None:
        super().__init__(
            "You are signed in elsewhere, and not invited here.",
            fix="Ask somebody who is here already for an invitation.",
        )


class IdentityTaken(BadInput):
    """Somebody comes in this way already, perhaps the person themselves."""

    code: ClassVar[str] = "identity_already_exists"

    def __init__(self) -> None:
        super().__init__("Identity is already linked to a user", fix="Sign in with it, or unlink it there first.")


class IdentityUnknown(NotFound):
    """The person has no such way of coming in."""

    code: ClassVar[str] = "identity_not_found"

    def __init__(self) -> None:
        super().__init__("Identity doesn't exist", fix="Get the user to see which there are.")


class LastIdentity(BadInput):
    """Nobody may lock themselves out."""

    code: ClassVar[str] = "single_identity_not_deletable"

    def __init__(self) -> None:
        super().__init__("User must have at least 1 identity after unlinking", fix="Link another one first.")
