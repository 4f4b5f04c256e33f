"""The library as it goes over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from treadle.features.library.entries import AgentStatus, EntrySort
from treadle.features.library.importing import Outcome
from treadle.kernel.states import Status
from treadle.sdk.credentials import AuthKind
from treadle.web.bodies import Answer, CountedPagination, Json, Pagination, Request
from treadle.web.builder.bodies import CredentialNeedBody, GraphForms
from treadle.web.executions.bodies import CredentialsChoice, RunSettings

LARGEST_VERSION = 2**31 - 1
_MOST_MOVED = 1_000
Version = Annotated[int, Field(ge=1, le=LARGEST_VERSION)]
FolderName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
PresetName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Icon = Annotated[str, StringConstraints(max_length=50)]
Color = Annotated[str, StringConstraints(pattern="^(#[0-9a-f]{6})?$")]


# ---- agents ---------------------------------------------------------------------------------------------------------


class AgentQuery(BaseModel):
    """Which agents are wanted, and which part of them."""

    search_term: str = Field(default="", max_length=500, description="Words in the name or the description.")
    sort_by: EntrySort = Field(default=EntrySort.UPDATED, description="The latest first, or by name.")
    status: list[AgentStatus] = Field(default=[], description="Only agents that stand so; several are possible.")
    folder_id: UUID | Literal["root"] | None = Field(
        default=None, description="Only agents in this folder itself; `root`: in no folder."
    )
    archived: bool = Field(default=False, description="Archived agents instead of the others.")
    parts: bool = Field(default=False, description="Also agents that came with others, as their sub-agents.")
    page: int = Field(default=1, description="From 1.")
    page_size: int = Field(default=15, description="From 1 to 100.")


class AgentSettings(Answer):
    """How the agent is run; what is not set is as is usual."""

    safe_mode: bool | None = None
    """Whether nodes that ask a person do ask; usually they do."""
    ask_before_sensitive: bool | None = None
    """Whether blocks that do something sensitive ask first; usually they do not."""
    timezone: str | None = None
    """Usually the server's."""


class LastRunBody(Answer):
    """The run of an agent that was started last."""

    id: UUID
    status: Status
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    """The beginning of it."""


class RunCountsBody(Answer):
    """How many runs of an agent stand how, sub-agents not counted."""

    running: int
    """Counted up to 1,000 of all that go on, as are the following."""
    queued: int
    waiting: int
    """For a time or an event."""
    in_review: int
    """For a person."""
    completed: int
    """Of the last ten that are over, as are the following."""
    failed: int
    terminated: int


class LibraryAgentBody(Answer):
    """An agent of the library."""

    id: UUID
    graph_id: str
    graph_version: int
    """The version that runs when none is named."""
    newest_version: int
    active_version: int
    auto_update: bool
    """Whether the version that runs is always the active one; else it is pinned."""
    is_latest_version: bool
    """Whether the version that runs is the newest one."""
    name: str
    description: str
    folder_id: UUID | None
    is_archived: bool
    is_part: bool
    """Whether it came with another agent, as a sub-agent of that."""
    is_favorite: bool
    """Of whoever asks."""
    settings: AgentSettings
    created_at: datetime
    updated_at: datetime
    status: AgentStatus
    """What goes on, the most urgent first, else how the latest run ended."""
    last_run: LastRunBody | None
    runs: RunCountsBody
    needs_credentials: bool
    """Whether credentials are missing without which no run can start, or one of several must be chosen."""


class LibraryAgentList(Answer):
    """Agents of the library."""

    agents: list[LibraryAgentBody]
    pagination: CountedPagination


class Origin(Answer):
    """Of which agent another one is a copy."""

    graph_id: str
    graph_version: int | None


class SubAgent(Answer):
    """An agent that another one runs."""

    graph_id: str
    graph_version: int
    name: str


class LibraryAgentDetail(LibraryAgentBody, GraphForms):
    """An agent of the library with what it takes, gives and needs."""

    instructions: str | None
    recommended_schedule_cron: str | None
    forked_from: Origin | None
    sub_agents: list[SubAgent]


class AddAgent(Request):
    """Put a graph into the library."""

    agent_id: str = Field(min_length=1, max_length=500)
    """The graph's id."""
    agent_version: Version | None = None
    """Pins the agent to this version; it follows the active one when it is not given."""


class AgentSettingsChange(RunSettings):
    """Settings to change; one that is given as null is taken away."""


class AgentUpdate(Request):
    """What is to change of an agent; what is not given stays as it is."""

    is_favorite: bool | None = None
    is_archived: bool | None = None
    auto_update: bool | None = None
    """True: follow the active version. False: stay with the version that runs now, or with ``graph_version``."""
    graph_version: Version | None = None
    """Pin the agent to this version."""
    folder_id: UUID | None = None
    """Null: into no folder."""
    settings: AgentSettingsChange | None = None


class MoveAgents(Request):
    """Put agents into a folder."""

    agent_ids: list[UUID] = Field(max_length=_MOST_MOVED)
    folder_id: UUID | None
    """Null: into no folder."""


# ---- import ---------------------------------------------------------------------------------------------------------


class ImportedGraphBody(Answer):
    """What has become of a graph of a file."""

    graph_id: str
    name: str
    outcome: Outcome


class MissingBlock(Answer):
    """A block that this install does not have. Its nodes are kept as they are."""

    id: str
    name: str
    """Empty when nobody knows it."""


class DisabledBlock(Answer):
    """A block that may not run here."""

    name: str
    reason: str


class MissingAgent(Answer):
    """A sub-agent that neither the file nor the workspace has."""

    graph_id: str
    name: str


class ImportReportBody(Answer):
    """What was imported, and what of the file was not taken as it stands."""

    agent: LibraryAgentDetail
    """``problems`` says what stands in the way of a run."""
    outcome: Outcome
    sub_agents: list[ImportedGraphBody]
    """Those that the file holds."""
    notes: list[str]
    """What in the file was odd, and mended or left out."""
    missing_blocks: list[MissingBlock]
    disabled_blocks: list[DisabledBlock]
    missing_agents: list[MissingAgent]
    missing_credentials: list[CredentialNeedBody]
    """Those that the workspace lacks; of some that are not ``required`` a run can do without."""


# ---- folders --------------------------------------------------------------------------------------------------------


class FolderBody(Answer):
    """A folder."""

    id: UUID
    name: str
    parent_id: UUID | None
    icon: str
    color: str
    """``#rrggbb``, or nothing."""
    agents: int
    """How many are in it, those in folders inside it not counted."""
    created_at: datetime
    updated_at: datetime


class FolderList(Answer):
    """All folders, by name."""

    folders: list[FolderBody]


class FolderNode(FolderBody):
    """A folder and those inside it."""

    folders: list["FolderNode"]


class FolderTree(Answer):
    """The folders that are in no other, and so on."""

    folders: list[FolderNode]


class NewFolder(Request):
    """Make a folder."""

    name: FolderName
    parent_id: UUID | None = None
    icon: Icon = ""
    color: Color = ""


class FolderUpdate(Request):
    """What is to change of a folder; what is not given stays as it is."""

    name: FolderName | None = None
    icon: Icon | None = None
    color: Color | None = None


class MoveFolder(Request):
    """Put a folder somewhere else."""

    parent_id: UUID | None
    """Null: to the top."""


class FolderDeleted(Answer):
    """What was in a folder that is deleted."""

    folders: int
    agents: int


# ---- presets --------------------------------------------------------------------------------------------------------


class PresetCredentials(Answer):
    """Credentials to use."""

    id: str
    provider: str
    type: AuthKind
    title: str | None


class PresetBody(Answer):
    """Inputs of an agent that are kept."""

    id: UUID
    graph_id: str
    graph_version: int | None
    """Null: the one that runs when none is named."""
    name: str
    description: str
    inputs: dict[str, Json]
    """By name. A secret one is ``***``; sent back so, it stays what it is."""
    credentials: dict[str, PresetCredentials]
    """By the keys of the agent's credentials."""
    created_by: UUID
    created_at: datetime
    updated_at: datetime


class PresetList(Answer):
    """Presets, the last changed first."""

    presets: list[PresetBody]
    pagination: Pagination


class NewPresetBody(Request):
    """Keep inputs."""

    graph_id: str = Field(min_length=1, max_length=500)
    graph_version: Version | None = None
    name: PresetName
    description: Description = ""
    inputs: dict[str, Json] = {}
    credentials: dict[str, CredentialsChoice] = {}


class PresetFromRun(Request):
    """Keep the inputs of a run."""

    execution_id: UUID
    name: PresetName
    description: Description = ""


class PresetUpdate(Request):
    """What is to change of a preset; what is not given stays as it is."""

    name: PresetName | None = None
    description: Description | None = None
    graph_version: Version | None = None
    """Null: the one that runs when none is named."""
    inputs: dict[str, Json] | None = None
    """All of them."""
    credentials: dict[str, CredentialsChoice] | None = None


class ExecutePreset(RunSettings):
    """Run an agent with a preset."""

    inputs: dict[str, Json] = {}
    """Instead of those of the preset."""
    credentials: dict[str, CredentialsChoice] = {}
    """Instead of those of the preset."""
