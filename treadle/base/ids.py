"""Ids have their own types, so that one kind is never passed for another."""

import os
import time
from collections.abc import Callable
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
InvitationId = NewType("InvitationId", UUID)
WorkspaceId = NewType("WorkspaceId", UUID)
GraphId = NewType("GraphId", str)
NodeId = NewType("NodeId", str)
BlockId = NewType("BlockId", str)
FileId = NewType("FileId", UUID)
CredentialsId = NewType("CredentialsId", UUID)
ExecutionId = NewType("ExecutionId", UUID)
LibraryAgentId = NewType("LibraryAgentId", UUID)
FolderId = NewType("FolderId", UUID)
PresetId = NewType("PresetId", UUID)
WorkerId = NewType("WorkerId", UUID)

NewUuid = Callable[[], UUID]
"""A source of fresh ids; injected, so that tests can make runs repeatable."""

LOCAL_WORKSPACE = WorkspaceId(UUID("00000000-0000-7000-8000-000000000001"))
"""The workspace of an install that nobody has signed in to."""


OPERATOR = UserId(UUID("00000000-0000-7000-8000-000000000002"))
"""Whoever holds the start-up token: the person at the machine itself."""


def uuid7() -> UUID:
    """A time-ordered id (RFC 9562, version 7): 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds << 80) | random_bits
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)
