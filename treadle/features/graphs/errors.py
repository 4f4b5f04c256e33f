"""What can be wrong with an agent file, before anybody looks at its blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from treadle.base.errors import BadInput


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One thing wrong in a file. ``place`` is a line and column, or a path such as ``nodes[3].block_id``."""

    place: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class BadAgentFile(BadInput):
    """The file cannot be read as an agent. ``problems`` holds everything found, ``message`` the first few."""

    code: ClassVar[str] = "bad_agent_file"

    def __init__(self, name: str, problems: Sequence[FileProblem]) -> None:
        self.problems = tuple(problems)
        shown = "; ".join(str(problem) for problem in self.problems[:5])
        more = f"; and {len(self.problems) - 5} more" if len(self.problems) > 5 else ""
        super().__init__(f"{name}: {shown}{more}", fix=self.problems[0].fix)
