"""Runs recorded behaviour vectors against the blocks, and compares.

From the command line: ``python -m tests.blocks.vectors [BlockName ...]`` prints, per block, how many vectors pass, and
for each that does not what was recorded and what came. ``-q`` prints the counts only.
"""

import asyncio
import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.shared_files import vector_sets
from treadle.base.ids import GraphId, NodeId
from treadle.blocks.catalogue import ALL_BLOCKS
from treadle.kernel.values import clean_text
from treadle.sdk.block import Block
from treadle.sdk.context import Context, Decision
from treadle.sdk.testing import AgentScript, MemoryStorage, Outcome, ScratchFiles, ScriptedAgents, attempt, make_context

Json = Any
Vector = Mapping[str, Any]

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions" / "compatibility.md"
_VID = re.compile(r"`([A-Za-z_]+/[0-9]+)`")
_MEDIA_TOLERANCE = 0.06
"""Seconds by which the length of produced media may differ."""

BY_REVIEW = "sensitive_safe_mode"
"""Vectors with this context record what the engine does before a block runs: they are no test of a block."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a vector went: no ``problems`` when it is matched."""

    vid: str
    problems: tuple[str, ...]
    outcome: Outcome | None = None


def mended_vids() -> frozenset[str]:
    """The vectors that are not matched on purpose: named in back quotes in the last column of the decisions' tables."""
    rows = (line for line in DECISIONS.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    return frozenset(vid for row in rows for vid in _VID.findall(row.rstrip().rstrip("|").rpartition("|")[2]))


def block_vectors() -> Iterator[tuple[Block, Vector]]:
    """Each vector whose block there is, with the block."""
    blocks = {each.id: each for each in ALL_BLOCKS}
    for recorded in vector_sets()["blocks"]:
        block = blocks.get(recorded["id"])
        for vector in recorded["vectors"] if block else ():
            if block is not None and BY_REVIEW not in vector.get("context", {}):
                yield block, vector


# --- reading the special values ---


def decode(value: Json) -> Any:
    """An input with its special values (``{"$float": ...}``) made real."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        name, content = next(iter(value.items()))
        if name in _DECODERS:
            return _DECODERS[name](content)
    return {name: decode(each) for name, each in value.items()}


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$bigint": int,
    "$repeat": lambda content: content[0] * content[1],
    "$range": lambda count: list(range(count)),
    "$fixture": lambda name: vector_sets()["fixtures"][name],
    "$pairs": lambda pairs: {decode(key): decode(each) for key, each in pairs},
    "$tuple": lambda items: tuple(decode(items)),
    "$set": lambda items: set(decode(items)),
    "$object": lambda fields: {name: decode(each) for name, each in fields.items()},
    "$enum": decode,
    "$surrogates": lambda text: json.loads(f'"{text}"'),
}


# --- comparing ---


def same(recorded: Json, got: Any, tolerance: float = 0.0) -> bool:
    """Whether a value is the recorded one. Types count (1 is neither 1.0 nor true); numbers may differ by the
    tolerance when there is one."""
    if isinstance(recorded, dict) and len(recorded) == 1:
        name, content = next(iter(recorded.items()))
        if name in _CHECKS:
            return _CHECKS[name](content, got)
        if name in _DECODERS:
            return same_plain(_DECODERS[name](content), got, tolerance)
    return same_plain(recorded, got, tolerance)


def same_plain(recorded: Any, got: Any, tolerance: float) -> bool:
    if isinstance(recorded, dict):
        return (
            isinstance(got, dict)
            and recorded.keys() == got.keys()
            and all(same(each, got[name], tolerance) for name, each in recorded.items())
        )
    if isinstance(recorded, list | tuple):
        pairs = isinstance(got, list | tuple) and len(got) == len(recorded)
        return pairs and all(same(a, b, tolerance) for a, b in zip(recorded, got, strict=True))
    if isinstance(recorded, float) and isinstance(got, float | int) and not isinstance(got, bool):
        close = tolerance > 0 and abs(recorded - got) <= tolerance
        return close or (type(got) is float and (recorded == got or (math.isnan(recorded) and math.isnan(got))))
    if isinstance(recorded, str):
        return isinstance(got, str) and recorded == str(got)
    return type(recorded) is type(got) and bool(recorded == got)


def _same_text(facts: Mapping[str, Any], got: Any) -> bool:
    if not isinstance(got, str) or len(got) != facts["length"]:
        return False
    digest = hashlib.sha256(got.encode("utf-8", "surrogatepass")).hexdigest()
    return digest == facts["sha256"] and got.startswith(facts.get("head", "")) and got.endswith(facts.get("tail", ""))


def _same_list(facts: Mapping[str, Any], got: Any) -> bool:
    first, last = facts["first"], facts["last"]
    return (
        isinstance(got, list)
        and len(got) == facts["length"]
        and same(first, got[: len(first)])
        and same(last, got[len(got) - len(last) :])
    )


_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "$match": lambda pattern, got: isinstance(got, str) and re.search(pattern, got) is not None,
    "$longstr": _same_text,
    "$text": _same_text,
    "$longlist": _same_list,
    "$type": lambda kind, got: callable(got) if kind == "callable" else type(got).__name__ == kind,
    "$set": lambda items, got: (
        isinstance(got, set | list) and sorted(map(repr, got)) == sorted(map(repr, decode(items)))
    ),
}


def compare(vector: Vector, outcome: Outcome, context: Context) -> Iterator[str]:
    """What differs from the record."""
    yield from _compare_outputs(vector, [list(each) for each in outcome.outputs])
    if vector["error"] and outcome.error is None:
        yield f"recorded failure at {vector.get('stage')}: {vector['error']}"
    if not vector["error"] and outcome.error is not None:
        yield f"failed: {outcome.error}"
    if "stored_after" in vector:
        stored = getattr(context.storage, "data", None)
        if not same(vector["stored_after"], stored):
            yield f"stored {shown(stored)}, recorded {shown(vector['stored_after'])}"
    if "sleep" in vector.get("context", {}):
        slept = [each for each in getattr(context.sleep, "seconds", []) if each]
        if slept != vector.get("waits_seconds", []):
            yield f"waited {slept}, recorded {vector.get('waits_seconds', [])}"
    if "child_call" in vector and isinstance(context.agents, ScriptedAgents):
        yield from _compare_call(vector["child_call"], context.agents)


def _compare_outputs(vector: Vector, got: list[list[Any]]) -> Iterator[str]:
    recorded = vector["outputs"] or []
    compared = got
    if "truncated" in vector:
        facts = vector["truncated"]
        if len(got) != facts["events"]:
            yield f"{len(got)} outputs, recorded {facts['events']}"
        if not same(facts["last"], got[-len(facts["last"]) :]):
            yield f"last outputs {shown(got[-len(facts['last']) :])}, recorded {shown(facts['last'])}"
        compared = got[: len(recorded)]
    if vector["compare"] == "unordered":
        recorded, compared = sorted(recorded, key=repr), sorted(compared, key=repr)
    if vector["compare"] == "random":
        recorded, compared = [[name] for name, _ in recorded], [[name] for name, _ in compared]
    tolerance = _MEDIA_TOLERANCE if vector["compare"] == "shape" else 0.0
    if not same_plain(recorded, compared, tolerance):
        yield f"sent {shown(compared)}, recorded {shown(recorded)}"


def _compare_call(recorded: Mapping[str, Any], agents: ScriptedAgents) -> Iterator[str]:
    if len(agents.started) != 1:
        yield f"started {len(agents.started)} sub-agents, recorded 1"
        return
    call = agents.started[0]
    got = {"graph_id": call.graph, "graph_version": call.version, "inputs": dict(call.inputs)}
    wanted = {name: recorded[name] for name in got}
    if not same(wanted, got):
        yield f"started {shown(got)}, recorded {shown(wanted)}"


def shown(value: Any) -> str:
    """A value for a report, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:380]}… ({len(text)} characters)"


# --- media ---


async def compare_media(vector: Vector, outcome: Outcome, context: Context) -> tuple[str, ...]:
    """What differs in a produced video; nothing where the program that measures it is not installed."""
    if "media" not in vector or shutil.which("ffprobe") is None or not outcome.outputs:
        return ()
    produced = str(outcome.outputs[-1][1])
    is_uri = produced.startswith("data:")
    content = base64.b64decode(produced.partition(",")[2]) if is_uri else await context.files.read(produced)
    got = await asyncio.to_thread(_measure, content)
    wanted = vector["media"]
    right = abs(got["duration"] - wanted["duration"]) <= _MEDIA_TOLERANCE
    right = right and got["has_audio"] == wanted["has_audio"] and got["size"] == wanted["size"]
    return () if right else (f"the video is {got}, recorded {wanted}",)


def _measure(content: bytes) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", file.name]
        facts = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    streams = {each["codec_type"]: each for each in facts["streams"]}
    video = streams.get("video", {})
    return {
        "duration": float(facts["format"]["duration"]),
        "has_audio": "audio" in streams,
        "size": [video.get("width"), video.get("height")],
    }


# --- running ---


def _context(vector: Vector) -> Context:
    given = vector.get("context", {})
    overrides: dict[str, Any] = {"graph": GraphId("graph-1"), "node": NodeId("ne-1")}
    if "clock" in given:
        overrides["clock"] = given["clock"]
    if "user_timezone" in given:
        overrides["timezone"] = given["user_timezone"]
    if "safe_mode" in given:
        overrides["safe_mode"] = given["safe_mode"]
    if isinstance(given.get("decision"), dict):
        decision = given["decision"]
        approved = decision["status"] == "APPROVED"
        overrides["decision"] = Decision(approved, decision.get("data"), decision.get("message") or "")
    overrides["storage"] = _stored(given.get("stored", {}))
    overrides["files"] = ScratchFiles({name: _content(each) for name, each in given.get("files", {}).items()})
    overrides["agents"] = _agents(vector)
    return make_context(**overrides)


def _stored(stored: Mapping[str, Any]) -> MemoryStorage:
    within = {f"agent#graph-1#{key}": value for key, value in stored.get("within_agent", {}).items()}
    across = {f"global#{key}": value for key, value in stored.get("across_agents", {}).items()}
    return MemoryStorage(clean_text(decode({**within, **across})))


def _content(value: Json) -> str | bytes:
    content = decode(value)
    if isinstance(value, dict) and "$fixture" in value:
        return base64.b64decode(content.partition(",")[2])
    return str(content)


def _agents(vector: Vector) -> ScriptedAgents:
    """A sub-agent that does what the recorded events of the child run tell."""
    if "node_constants" not in vector:
        return ScriptedAgents()
    script = AgentScript(outputs=_sent_by_child(vector.get("child_events", ())))
    ends = [event["status"] for event in vector.get("child_events", ()) if event["kind"] == "graph_execution_update"]
    script.failure = "" if not ends or ends[-1] == "COMPLETED" else f"The sub-agent ended as {ends[-1]}"
    constants = vector["node_constants"]
    script.input_schema, script.output_schema = constants["input_schema"], constants["output_schema"]
    return ScriptedAgents({constants["graph_id"]: script})


def _sent_by_child(events: Sequence[Vector]) -> list[tuple[str, Any]]:
    """The outputs of a recorded child run. Events may tell of a node's end more than once; it sent its outputs once."""
    ended: dict[str, Vector] = {}
    for event in events:
        if event["kind"] == "node_execution_update" and event["status"] == "COMPLETED":
            ended.setdefault(event["node_run"], event)
    named = [each for each in ended.values() if each.get("is_output_node") and each.get("name")]
    return [(each["name"], decode(value)) for each in named for value in each["outputs"].get("output", [])]


async def run_vector(block: Block, vector: Vector) -> Result:
    """Run one vector. A block that raises anything but its declared errors does not pass."""
    inputs = {**decode(vector.get("node_constants", {})), **decode(vector["input"])}
    context = _context(vector)
    try:
        outcome = await attempt(block, inputs, context)
    except Exception:  # noqa: BLE001 - a broken block is a result here, whatever it raises
        return Result(vector["vid"], (f"crashed: {traceback.format_exc(limit=-3)}",))
    problems = (*compare(vector, outcome, context), *await compare_media(vector, outcome, context))
    return Result(vector["vid"], problems, outcome)


# --- the command ---


def _report(block: Block, results: list[tuple[Vector, Result]], mended: frozenset[str], quiet: bool) -> int:
    wrong = [(vector, each) for vector, each in results if bool(each.problems) == (each.vid not in mended)]
    on_purpose = sum(1 for _, each in results if each.problems and each.vid in mended)
    print(f"{block.name}: {len(results) - len(wrong) - on_purpose} pass, {on_purpose} mended, {len(wrong)} fail")
    for vector, result in wrong if not quiet else ():
        facts = {name: vector[name] for name in ("input", "context", "note") if vector.get(name)}
        print(f"  {result.vid} {shown(facts)}")
        for problem in result.problems or ("is listed as mended, yet matches the record",):
            print(f"    {problem}")
    return len(wrong)


def main(arguments: list[str]) -> int:
    """Print the report for the named blocks, or all; the number of vectors that are wrong."""
    quiet = "-q" in arguments
    names = {each for each in arguments if not each.startswith("-")}
    by_block: dict[str, list[tuple[Block, Vector]]] = {}
    for block, vector in block_vectors():
        if not names or block.name in names:
            by_block.setdefault(block.name, []).append((block, vector))
    mended, wrong = mended_vids(), 0
    for pairs in by_block.values():
        results = [(vector, asyncio.run(run_vector(block, vector))) for block, vector in pairs]
        wrong += _report(pairs[0][0], results, mended, quiet)
    missing = [each["name"] for each in vector_sets()["blocks"] if each["name"] not in by_block]
    print("not there:", ", ".join(name for name in missing if not names or name in names) or "none")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
