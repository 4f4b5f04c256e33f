"""What does not go in a library."""

from typing import ClassVar

from treadle.base.errors import Conflict


class NameTaken(Conflict):
    """Another folder beside it has the name."""

    code: ClassVar[str] = "folder_name_taken"

    def __init__(self, name: str) -> None:
        fix = "Choose another name, or put things into that one."
        super().__init__(f"There is a folder “{name}” at that place already.", fix=fix)


class FolderInsideItself(Conflict):
    """A folder would be below itself."""

    code: ClassVar[str] = "folder_inside_itself"

    def __init__(self) -> None:
        message = "A folder cannot be put into itself, or into one that is inside it."
        super().__init__(message, fix="Choose another place.")


class TooDeep(Conflict):
    """Folders would be nested too deep."""

    code: ClassVar[str] = "folders_too_deep"

    def __init__(self, deepest: int) -> None:
        super().__init__(f"Folders can be nested {deepest} deep.", fix="Put it further up.")


class TooManyFolders(Conflict):
    """A workspace has as many folders as it may."""

    code: ClassVar[str] = "too_many_folders"

    def __init__(self, most: int) -> None:
        super().__init__(f"A workspace can have {most} folders.", fix="Delete one that is not needed.")
