"""The base of all tables that features map."""

from sqlalchemy.orm import DeclarativeBase


class Model(DeclarativeBase):
    """Base of the mapped tables; ``migrations/`` makes them."""
