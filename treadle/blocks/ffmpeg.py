"""Runs ffmpeg on files of the run: as a process with fixed arguments, bounded, and killed with the block.

Media files come from anywhere and ffmpeg reads many formats, some of which (playlists) name other files or addresses:
only self-contained formats are let in, and only files may be opened.
"""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from treadle.sdk.errors import BlockError

MAX_SECONDS = 900.0
"""How long one run of ffmpeg may take."""
MAX_OUTPUT_BYTES = 100_000_000
MAX_MEMORY = 2 << 30
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,wav,mp3,flac,aac,gif,flv,asf"
_SHOWN = 300

_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_TIME = re.compile(r"time=(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_STREAM = re.compile(r"Stream #0:\d+.*?: (Video|Audio): (.*)")


@dataclass(frozen=True, slots=True)
class Media:
    """What a media file holds; ``seconds`` is its length."""

    seconds: float
    video: bool
    audio: bool


def input_arguments(path: str, *before: str) -> list[str]:
    """The arguments that open a file; ``before`` are options for it."""
    return [*before, "-protocol_whitelist", "file", "-format_whitelist", _FORMATS, "-i", f"file:{path}"]


async def run(arguments: Sequence[str], *, seconds: float = MAX_SECONDS) -> str:
    """Run ffmpeg; what it has written to its log.

    Raises:
        BlockError: ffmpeg is not installed, fails, or takes too long.
    """
    code, log = await _execute(arguments, seconds)
    if code != 0:
        raise BlockError(
            f"The media cannot be processed: {_reason(log)}", fix="Use a common format, such as mp4 or mp3."
        )
    return log


async def inspect(path: str) -> Media:
    """What the file at ``path`` holds.

    Raises:
        BlockError: it is no media file that can be read.
    """
    # Without an output ffmpeg describes the input and ends with a failure, so the exit code tells nothing.
    _, log = await _execute(input_arguments(path), 60.0)
    streams = dict(_STREAM.findall(log))
    if not streams:
        raise BlockError(f"The file is not audio or video that can be read: {_reason(log)}", fix="Use mp4, mp3 or wav.")
    found = _DURATION.search(log)
    if found is None:  # live recordings have no length in their header: it is known only after reading them
        log = await run([*input_arguments(path), "-f", "null", "-"])
        times = list(_TIME.finditer(log))
        found = times[-1] if times else None
    if found is None:
        raise BlockError("The length of the file cannot be told.", fix="Convert it to mp4, mp3 or wav.")
    hours, minutes, rest = found.groups()
    length = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return Media(length, "Video" in streams and "attached pic" not in streams["Video"], "Audio" in streams)


@cache
def program() -> str:
    """Where ffmpeg is.

    Raises:
        BlockError: it is not installed.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[import-untyped]  # noqa: PLC0415

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise BlockError(
            "Audio and video blocks need ffmpeg, which is not installed.",
            fix="In Treadle's folder, run: .venv/bin/python -m pip install imageio-ffmpeg",
        ) from None


async def _execute(arguments: Sequence[str], seconds: float) -> tuple[int, str]:
    executable = await asyncio.to_thread(program)
    fixed = ["-hide_banner", "-nostdin", "-y", "-threads", "1"]
    process = await asyncio.create_subprocess_exec(
        executable,
        *fixed,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={},
        start_new_session=True,
    )
    _limit(process.pid)
    try:
        async with asyncio.timeout(seconds):
            log = await _tail(process)
            return await process.wait(), log
    except TimeoutError:
        raise BlockError(f"The media took longer than {seconds:g} s.", fix="Use shorter or smaller media.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()


def _limit(pid: int) -> None:
    """Bound the process's memory and the files that it writes, where the system can (Linux)."""
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415

    with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(pid, resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES))


async def _tail(process: asyncio.subprocess.Process) -> str:
    """The first and the last part of the log; a broken file can make it endless."""
    assert process.stderr is not None
    first, last = b"", b""
    while piece := await process.stderr.read(65536):
        if len(first) < 65536:
            first += piece
        else:
            last = (last + piece)[-65536:]
    return (first + last).decode(errors="replace")


def _reason(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip() and "At least one output file" not in line]
    text = re.sub(r"file:/\S*/", "", lines[-1]) if lines else "ffmpeg gave no reason"
    return text[:_SHOWN]
