"""A handful of blocks, and agents made of them, for the tests of this folder."""

import json
from typing import Any

from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.reader import read_agent_file
from treadle.sdk.block import Block, BlockKind, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, CredentialsRef, credentials_pin
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.registry import Registry


class NamedInput(Inputs):
    name: str = pin("Name of the input.")
    value: Any = pin("Its value.", default=None)
    title: str | None = pin("Title.", default=None)
    description: str | None = pin("Description.", default=None)
    placeholder_values: list[Any] = pin("Choices.", default_factory=list, hidden=True)
    advanced: bool = pin("Folded away.", default=False)
    secret: bool = pin("Kept out of records.", default=False)


class NumberInput(NamedInput):
    value: int | None = pin("Its value.", default=None, advanced=False)


class Result(Outputs):
    result: Any = pin("The value.")


class NamedOutput(Inputs):
    name: str = pin("Name of the output.")
    value: Any = pin("What to give.", default=None, advanced=False)
    title: str | None = pin("Title.", default=None)
    description: str | None = pin("Description.", default=None)
    advanced: bool = pin("Folded away.", default=False)
    secret: bool = pin("Kept out of records.", default=False)


class Output(Outputs):
    output: Any = pin("The value.")


class Text(Inputs):
    text: str = pin("A text.")
    times: int = pin("How often.", default=1, ge=1)
    values: dict[str, Any] = pin("Values by name.", default_factory=dict)
    mode: str = pin("How.", default="plain")
    shout: bool = pin("Loudly.", default=False, depends_on=["mode"])
    api_key: str = pin("A key.", default="", secret=True)


class TextOut(Outputs):
    text: str = pin("A text.")
    length: int = pin("A number.")


class Model(Inputs):
    prompt: str = pin("What to ask.")
    model: str = pin("Which model.", default="small-a")
    last_tool_output: Any = pin("What the tool said.", default=None)
    conversation_history: list[Any] | None = pin("What was said.", default_factory=list)
    credentials: CredentialsRef = credentials_pin(
        "maker-a",
        "maker-b",
        discriminator="model",
        discriminator_mapping={"small-a": "maker-a", "large-a": "maker-a", "small-b": "maker-b"},
    )


class ModelOut(Outputs):
    tools: Any = pin("Calls.")
    finished: str = pin("The answer.")
    conversations: list[Any] = pin("What was said.")


class Mail(Inputs):
    to: str = pin("Who gets it.")
    credentials: CredentialsRef = credentials_pin("mail", kinds=(AuthKind.OAUTH2, AuthKind.API_KEY), scopes=("send",))


class Mailbox(Inputs):
    credentials: CredentialsRef = credentials_pin("mail", kinds=(AuthKind.OAUTH2, AuthKind.API_KEY), scopes=("read",))


class Child(Inputs):
    user_id: str = pin("Whose.", default="")
    graph_id: str = pin("Which agent.")
    graph_version: int = pin("Which version.")
    agent_name: str | None = pin("Its name.", default=None)
    inputs: dict[str, Any] = pin("Its inputs.", default_factory=dict)
    input_schema: dict[str, Any] = pin("Its input pins.", default_factory=dict)
    output_schema: dict[str, Any] = pin("Its output pins.", default_factory=dict)


class Note(Inputs):
    text: str = pin("A remark.", default="")


class Gathered(Inputs):
    item: Any = pin("One item.", default=None)


class GatheredOut(Outputs):
    items: list[Any] = pin("All of them.")


def _make(
    id: str,
    name: str,
    inputs: type[Inputs],
    outputs: type[Outputs] = Outputs,
    kind: BlockKind = BlockKind.STANDARD,
    **flags: Any,
) -> Block:
    async def run(given: Inputs, ctx: Context) -> Stream:
        """Does nothing; these tests never run a block."""
        yield "output", given

    run.__annotations__["given"] = inputs
    return block(id=id, name=name, outputs=outputs, kind=kind, work=Work.PURE, **flags)(run)


INPUT, NUMBER, OUTPUT = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "number-input", "363ae599-353e-4804-937e-b2ee3cef3da4"
CHILD = "e189baac-8c20-45a1-94a7-55177ea42565"
DECIDER = "3b191d9f-356f-482d-8238-ba04b6d18381"
REGISTRY = Registry(
    [
        _make(INPUT, "AgentInputBlock", NamedInput, Result, BlockKind.INPUT, static_output=True),
        _make(NUMBER, "AgentNumberInputBlock", NumberInput, Result, BlockKind.INPUT, static_output=True),
        _make(OUTPUT, "AgentOutputBlock", NamedOutput, Output, BlockKind.OUTPUT, static_output=True),
        _make("text", "TextBlock", Text, TextOut),
        _make("store", "StoreBlock", Text, TextOut, static_output=True),
        _make("mail", "SendMailBlock", Mail),
        _make("mailbox", "ReadMailBlock", Mailbox, TextOut),
        _make("note", "NoteBlock", Note, kind=BlockKind.NOTE),
        _make("off", "OffBlock", Note, disabled="it was retired"),
        _make("collect", "CollectBlock", Gathered, GatheredOut, BlockKind.COLLECT),
        _make(DECIDER, "SmartDecisionMakerBlock", Model, ModelOut, BlockKind.AI),
        _make(CHILD, "AgentExecutorBlock", Child, kind=BlockKind.AGENT, dynamic_inputs=True, dynamic_outputs=True),
    ]
)


def node(id: str, block_id: str, **constants: Any) -> dict[str, Any]:
    """A node of an agent file."""
    return {"id": id, "block_id": block_id, "input_default": constants}


def link(source: str, sink: str) -> dict[str, Any]:
    """``link("a.text", "b.value")``."""
    (source_id, source_name), (sink_id, sink_name) = source.split(".", 1), sink.split(".", 1)
    return {"source_id": source_id, "source_name": source_name, "sink_id": sink_id, "sink_name": sink_name}


def agent(nodes: list[dict[str, Any]], links: list[dict[str, Any]] | None = None, **keys: Any) -> AgentFile:
    """The agent of a file with these nodes and links."""
    document = {"id": "main", "name": "Agent", "nodes": nodes, "links": links or [], **keys}
    return read_agent_file(json.dumps(document).encode(), name="agent.json")
