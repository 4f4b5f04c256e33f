"""Audio and video."""

import asyncio
import os
from enum import Enum
from uuid import uuid4

from treadle.blocks import ffmpeg
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.pins import Inputs, Outputs, pin

LONGEST_VIDEO = 4 * 3600.0
"""Seconds of the longest video that is made."""
MOST_LOOPS = 10_000
_CATEGORIES = ("MULTIMEDIA",)
_NO_FILM = ("error", "There is no file 'film.mp4' in this run.")
_EVEN_SIZE = "pad=ceil(iw/2)*2:ceil(ih/2)*2"


class ReturnType(Enum):
    """How a made file is given back."""

    FILE_PATH = "file_path"
    DATA_URI = "data_uri"


class MediaToMeasure(Inputs):
    """Pins of the media length."""

    media_in: str = pin("The file: a web address, a data URI, or a file of this run.", format="file")
    is_video: bool = pin("Whether it is a video; else it is audio.", default=True)


class MediaLength(Outputs):
    """The length."""

    duration: float = pin("The length in seconds.")


@block(
    id="d8b91fd4-da26-42d4-8ecb-8b196c6d84b6",
    name="MediaDurationBlock",
    outputs=MediaLength,
    work=Work.EFFECT,
    categories=_CATEGORIES,
    examples=(Example({"media_in": "film.mp4"}, [_NO_FILM], title="The file must be there"),),
)
async def media_duration(inputs: MediaToMeasure, ctx: Context) -> Stream:
    """How long an audio or video file plays, in seconds."""
    name = await ctx.files.store(inputs.media_in)
    media = await ffmpeg.inspect(ctx.files.path(name))
    _require(media.video if inputs.is_video else media.audio, "media_in", "video" if inputs.is_video else "audio")
    yield "duration", media.seconds


class VideoToLoop(Inputs):
    """Pins of looping a video."""

    video_in: str = pin("The video: a web address, a data URI, or a file of this run.", format="file")
    duration: float | None = pin("How long the result plays, in seconds; wins over n_loops.", default=None, ge=0.0)
    n_loops: int | None = pin("How many times the video is played.", default=None, ge=1)
    output_return_type: ReturnType = pin(
        "Give back the file's name in this run, or its content as a data URI.", default=ReturnType.FILE_PATH
    )


class MadeVideo(Outputs):
    """The video that was made."""

    video_out: str = pin("The video: its name in this run, or its content as a data URI.", format="file")


@block(
    id="8bf9eef6-5451-4213-b265-25306446e94b",
    name="LoopVideoBlock",
    outputs=MadeVideo,
    work=Work.EFFECT,
    categories=_CATEGORIES,
    examples=(
        Example(
            {"video_in": "film.mp4"},
            [("error", "duration: neither duration nor n_loops is given")],
            title="It must be told how long to loop",
        ),
    ),
)
async def loop_video(inputs: VideoToLoop, ctx: Context) -> Stream:
    """Play a video again and again: for some seconds, or a number of times."""
    if not inputs.duration and not inputs.n_loops:
        raise InputRefused({"duration": "neither duration nor n_loops is given"}, fix="Give one of them.")
    name = await ctx.files.store(inputs.video_in)
    source = ctx.files.path(name)
    media = await ffmpeg.inspect(source)
    _require(media.video, "video_in", "video")
    seconds = inputs.duration or media.seconds * (inputs.n_loops or 1)
    if seconds > LONGEST_VIDEO or seconds > media.seconds * MOST_LOOPS:
        raise InputRefused(
            {"duration": f"the video would play for {seconds:.0f} s, or be looped more than {MOST_LOOPS:,} times"},
            fix=f"Stay within {LONGEST_VIDEO / 3600:g} hours.",
        )
    encoding = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-vf", _EVEN_SIZE, "-c:a", "aac"]
    arguments = [*ffmpeg.input_arguments(source, "-stream_loop", "-1"), "-t", f"{seconds:.3f}", *encoding]
    yield "video_out", await _made(arguments, "looped", inputs.output_return_type, ctx)


class VideoAndAudio(Inputs):
    """Pins of adding audio to a video."""

    video_in: str = pin("The video: a web address, a data URI, or a file of this run.", format="file")
    audio_in: str = pin("The audio: a web address, a data URI, or a file of this run.", format="file")
    volume: float = pin("How loud the audio is: 1 as it is, 0.5 half, 2 double.", default=1.0)
    output_return_type: ReturnType = pin(
        "Give back the file's name in this run, or its content as a data URI.", default=ReturnType.FILE_PATH
    )


@block(
    id="3503748d-62b6-4425-91d6-725b064af509",
    name="AddAudioToVideoBlock",
    outputs=MadeVideo,
    work=Work.EFFECT,
    categories=_CATEGORIES,
    examples=(Example({"video_in": "film.mp4", "audio_in": "song.mp3"}, [_NO_FILM], title="The files must be there"),),
)
async def add_audio_to_video(inputs: VideoAndAudio, ctx: Context) -> Stream:
    """Give a video another sound. The result is as long as the video."""
    video = ctx.files.path(await ctx.files.store(inputs.video_in))
    audio = ctx.files.path(await ctx.files.store(inputs.audio_in))
    media = await ffmpeg.inspect(video)
    _require(media.video, "video_in", "video")
    _require((await ffmpeg.inspect(audio)).audio, "audio_in", "audio")
    if not -100 <= inputs.volume <= 100:
        raise InputRefused({"volume": "more than 100"}, fix="Give a volume between 0 and 100.")
    encoding = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-vf", _EVEN_SIZE, "-c:a", "aac"]
    arguments = [
        *ffmpeg.input_arguments(video),
        *ffmpeg.input_arguments(audio),
        *("-map", "0:v:0", "-map", "1:a:0", "-af", f"volume={inputs.volume:.6f}", "-t", f"{media.seconds:.3f}"),
        *encoding,
    ]
    yield "video_out", await _made(arguments, "audio_attached", inputs.output_return_type, ctx)


def _require(present: bool, pin_name: str, kind: str) -> None:
    if not present:
        raise BlockError(f"The file on {pin_name} has no {kind}.", fix=f"Give a file with {kind}.")


async def _made(arguments: list[str], label: str, return_type: ReturnType, ctx: Context) -> str:
    """Let ffmpeg write a new mp4 file of the run; its name, or its content."""
    name = await ctx.files.write(f"{ctx.node}_{label}_{uuid4()}.mp4", b"")
    path = ctx.files.path(name)
    limit = ["-fs", str(ffmpeg.MAX_OUTPUT_BYTES), "-map_metadata", "-1", "-movflags", "+faststart"]
    await ffmpeg.run([*arguments, *limit, "-f", "mp4", f"file:{path}"])
    # ffmpeg stops quietly at its limit of size: what is that large has lost its end.
    if await asyncio.to_thread(os.path.getsize, path) > ffmpeg.MAX_OUTPUT_BYTES * 0.99:
        raise BlockError(f"The video is larger than {ffmpeg.MAX_OUTPUT_BYTES:,} bytes.", fix="Make a shorter video.")
    return await ctx.files.store(name, return_content=return_type is ReturnType.DATA_URI)


BLOCKS = (media_duration, loop_video, add_audio_to_video)
