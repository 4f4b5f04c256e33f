"""Mail addresses, in the one form in which they are compared."""

from treadle.features.accounts.errors import BadEmail

EMAIL = "email"
"""The issuer of those who sign in with an address and a password."""


def normalised(address: str) -> str:
    """The address in lower case and Unicode's usual form. It need not be one that the whole world can reach.

    Raises:
        BadEmail: it is none.
    """
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 (not needed to start)

    # Names that mean nothing on the internet, such as nas.local, are refused there; on a network at home they are real.
    ending = ".com"
    try:
        found = validate_email(address.strip()[:320] + ending, check_deliverability=False)
    except EmailNotValidError:
        raise BadEmail("Unable to validate email address: invalid format", fix="Check the address.") from None
    return found.normalized.removesuffix(ending).lower()
