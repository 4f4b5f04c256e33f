"""What a person gives a command: the agent file, and the values for its inputs."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.base.config import load_settings
from treadle.base.errors import BadInput
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.schemas import input_schema, run_inputs
from treadle.features.graphs.service import InvalidAgent
from treadle.features.graphs.validation import has_errors, validate
from treadle.main.wiring import make_registry
from treadle.sdk.registry import Registry

_LARGEST_FILE = 100_000_000


def read_agent(path: str) -> AgentFile:
    """The agent in a file; ``-`` is standard input.

    Raises:
        BadInput: there is no such file, it cannot be read, or it is no agent file.
    """
    name = "standard input" if path == "-" else Path(path).name
    return read_agent_file(read_bytes(path), name=name)


def read_bytes(path: str) -> bytes:
    """The content of a file, or of standard input for ``-``. Raises ``BadInput``."""
    try:
        if path == "-":
            content = sys.stdin.buffer.read(_LARGEST_FILE + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise BadInput(
            f"There is no file {path}.", fix="Give the path of an exported agent, or - to read it."
        ) from None
    except OSError as error:
        raise BadInput(f"The file {path} cannot be read: {error.strerror}.", fix="Give the path of a file.") from None
    if len(content) > _LARGEST_FILE:
        raise BadInput(f"{path} is larger than {_LARGEST_FILE // 1_000_000} MB.", fix="Give a smaller file.")
    return content


def run_values(agent: AgentFile, registry: Registry, pairs: Sequence[str], file: str | None) -> dict[str, Any]:
    """The inputs of a run by name: those of the JSON file, then those given one by one.

    Raises:
        BadInput: a pair is not ``name=value``, or the file does not hold one JSON object.
    """
    properties = input_schema(agent, registry)["properties"]
    values = read_object(file) if file else {}
    return {**values, **{name: read_value(text, properties.get(name)) for name, text in map(split_pair, pairs)}}


def split_pair(pair: str) -> tuple[str, str]:
    """``name=value``. Raises ``BadInput``."""
    name, sign, text = pair.partition("=")
    if not sign or not name:
        raise BadInput(f"{pair[:100]!r} is not of the form name=value.", fix="Write it like -i topic=whales.")
    return name, text


def read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file. Raises ``BadInput``."""
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}.", fix='Write an object, like {"topic": "whales"}.') from None
    if not isinstance(value, dict):
        raise BadInput(f"{path} does not hold a JSON object.", fix='Write an object, like {"topic": "whales"}.')
    return value


def read_value(text: str, schema: Mapping[str, Any] | None) -> Any:
    """A value from the command line: as it is where the input takes text, as JSON elsewhere.

    What is no JSON stays text, so that the message about the wrong type shows it.
    """
    if schema is None or takes_text(schema):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def takes_text(schema: Mapping[str, Any]) -> bool:
    """Whether a text fits: the schema says so, or says nothing at all about the type."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return any(takes_text(each) for each in choices if each.get("type") != "null")
    kind = schema.get("type")
    if kind is None:
        return not {"$ref", "allOf", "enum", "const"} & schema.keys()
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def prepared_run(path: str, pairs: Sequence[str], input_file: str | None) -> tuple[AgentFile, dict[str, Any]]:
    """An agent and the inputs of its run, both checked as far as that goes without the database.

    Raises:
        BadInput: the file or the inputs cannot be used; says everything that is wrong.
    """
    agent = read_agent(path)
    registry = make_registry(load_settings().disabled_blocks)
    problems = validate(agent, registry, for_run=True)
    if has_errors(problems):
        raise InvalidAgent(problems)
    values = run_values(agent, registry, pairs, input_file)
    run_inputs(agent, registry, values)
    return agent, values
