"""Files and folders of a repository."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from treadle.integrations.github.manifest import INTEGRATION
from treadle.integrations.github.pins import REPO, RepoInputs
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, get, put
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.operations import operation, values_of
from treadle.sdk.pins import Outputs, pin

CONTENTS = "/repos/{owner}/{repo}/contents/{file_path}"
WRITTEN = {"url": "content.html_url", "sha": "commit.sha"}


class ReadFileInputs(RepoInputs):
    file_path: str = pin("Path of the file in the repository.", placeholder="docs/index.md")
    branch: str = pin("Branch to read from.", default="master")


class ReadFileOutputs(Outputs):
    text_content: str = pin("The file as text; not sent when it is no UTF-8 text.")
    raw_content: str = pin("The file's bytes in base64.")
    size: int = pin("Size of the file in bytes.")


@block(
    id="87ce6c27-5752-4bbc-8e26-6da40a3dcfd3",
    name="GithubReadFileBlock",
    title="GitHub Read File",
    outputs=ReadFileOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def read_file(inputs: ReadFileInputs, ctx: Context) -> Stream:
    """Reads a file of up to 1 MB from a branch of a repository."""
    found = await Client(INTEGRATION, ctx).call(get(CONTENTS, params={"ref": "{branch?}"}), _place(inputs))
    if not isinstance(found, dict) or found.get("type") != "file":
        raise BlockError(f"{inputs.file_path} is not a file", fix="Use the Read Folder block for folders.")
    content = _decoded(found)
    try:
        yield "text_content", content.decode("utf-8")
    except UnicodeDecodeError:
        pass  # a picture or a program: only its bytes make sense
    yield "raw_content", base64.b64encode(content).decode("ascii")
    yield "size", found["size"]


def _place(inputs: RepoInputs) -> dict[str, Any]:
    return with_path({**values_of(inputs), **REPO.read(inputs.repo_url)})


def with_path(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the file's path as the API wants it: relative to the root of the repository."""
    return {**values, "file_path": values["file_path"].strip("/")}


def _decoded(file: Mapping[str, Any]) -> bytes:
    if file.get("encoding") != "base64":
        raise BlockError(f"{file['path']} is too large to be read", fix="GitHub gives files of up to 1 MB.")
    try:
        return base64.b64decode(file["content"])
    except binascii.Error as error:
        raise BlockError(f"GitHub sent {file['path']} damaged", fix="Try again later.") from error


class ReadFolderInputs(RepoInputs):
    folder_path: str = pin("Path of the folder; empty or / for the root.", placeholder="docs")
    branch: str = pin("Branch to read from.", default="master")


class ReadFolderOutputs(Outputs):
    file: dict[str, Any] = pin("Each file: name, path and size in bytes.")
    dir: dict[str, Any] = pin("Each folder: name and path.")


@block(
    id="1355f863-2db3-4d75-9fba-f91e8a8ca400",
    name="GithubReadFolderBlock",
    title="GitHub Read Folder",
    outputs=ReadFolderOutputs,
    categories=("DEVELOPER_TOOLS",),
    work=Work.READ,
)
async def read_folder(inputs: ReadFolderInputs, ctx: Context) -> Stream:
    """Lists the files and folders directly inside a folder of a repository."""
    folder = inputs.folder_path.strip("/")
    path = CONTENTS if folder else "/repos/{owner}/{repo}/contents/"
    place = {**REPO.read(inputs.repo_url), "file_path": folder, "branch": inputs.branch}
    found = await Client(INTEGRATION, ctx).call(get(path, params={"ref": "{branch?}"}), place)
    if not isinstance(found, list):
        raise BlockError(f"{inputs.folder_path} is not a folder", fix="Use the Read File block for files.")
    for entry in found:
        if entry["type"] == "file":
            yield "file", {"name": entry["name"], "path": entry["path"], "size": entry["size"]}
        elif entry["type"] == "dir":
            yield "dir", {"name": entry["name"], "path": entry["path"]}


class WriteFileInputs(RepoInputs):
    file_path: str = pin("Path of the file in the repository.", placeholder="docs/index.md")
    content: str = pin("The file's text.", format="long-text")
    branch: str = pin("Branch to write to.", default="main")


class CreateFileInputs(WriteFileInputs):
    commit_message: str = pin("What the commit is for.", default="Create new file")


class UpdateFileInputs(WriteFileInputs):
    commit_message: str = pin("What the commit is for.", default="Update file")


class WriteFileOutputs(Outputs):
    url: str = pin("Address of the file on GitHub.")
    sha: str = pin("Hash of the commit.")


def encoded(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the file's text in base64, as the API wants it."""
    return {**with_path(values), "encoded": base64.b64encode(values["content"].encode()).decode("ascii")}


CREATE = {"message": "{commit_message}", "content": "{encoded}", "branch": "{branch?}"}

create_file = operation(
    INTEGRATION,
    id="8fd132ac-b917-428a-8159-d62893e8a3fe",
    name="GithubCreateFileBlock",
    description="Adds a new file to a branch, in a commit of its own.",
    inputs=CreateFileInputs,
    outputs=WriteFileOutputs,
    address=REPO,
    prepare=encoded,
    prepares=("encoded",),
    call=put(CONTENTS, body=CREATE),
    returns=WRITTEN,
)


@block(
    id="30be12a4-57cb-4aa4-baf5-fcc68d136076",
    name="GithubUpdateFileBlock",
    title="GitHub Update File",
    outputs=WriteFileOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def update_file(inputs: UpdateFileInputs, ctx: Context) -> Stream:
    """Replaces a file on a branch, in a commit of its own."""
    github, place = Client(INTEGRATION, ctx), _place(inputs)
    current = await github.call(get(CONTENTS, params={"ref": "{branch?}"}), place)
    if not isinstance(current, dict):
        raise BlockError(f"{inputs.file_path} is not a file", fix="Give the path of a file.")
    values = {**encoded(place), "sha": current["sha"]}
    written = await github.call(put(CONTENTS, body={**CREATE, "sha": "{sha}"}), values)
    yield "url", written["content"]["html_url"]
    yield "sha", written["commit"]["sha"]
