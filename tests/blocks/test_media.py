"""Audio and video, made and measured with the real program; without it the message says how to get it."""

import asyncio
import importlib.util
import io
import math
import struct
import sys
import wave
from pathlib import Path

import pytest

from treadle.blocks import ffmpeg
from treadle.blocks.media import add_audio_to_video, loop_video, media_duration
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import make_context, run_block

needs_ffmpeg = pytest.mark.skipif(
    importlib.util.find_spec("imageio_ffmpeg") is None, reason="needs the extra 'media' (imageio-ffmpeg)"
)


def tone(seconds: float) -> bytes:
    """A WAV file with a tone."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        samples = (int(8000 * math.sin(each / 4)) for each in range(int(8000 * seconds)))
        file.writeframes(b"".join(struct.pack("<h", each) for each in samples))
    return content.getvalue()


async def video(seconds: float, folder: Path) -> bytes:
    """A silent video whose sides are odd numbers of pixels."""
    path = folder / "v.mkv"
    source = ["-f", "lavfi", "-i", f"color=red:size=17x33:rate=10:duration={seconds}"]
    await ffmpeg.run([*source, "-c:v", "ffv1", str(path)])
    return await asyncio.to_thread(path.read_bytes)


async def media_context(folder: Path) -> Context:
    files = {"v.mkv": await video(1.0, folder), "a.wav": tone(0.5), "list.mp4": b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"}
    return make_context(files=files)


@needs_ffmpeg
async def test_lengths(tmp_path: Path) -> None:
    context = await media_context(tmp_path)
    ((_, length),) = await run_block(media_duration, {"media_in": "v.mkv"}, context)
    assert length == pytest.approx(1.0, abs=0.06)
    ((_, length),) = await run_block(media_duration, {"media_in": "a.wav", "is_video": False}, context)
    assert length == pytest.approx(0.5, abs=0.06)
    with pytest.raises(BlockError, match="no video"):
        await run_block(media_duration, {"media_in": "a.wav"}, context)


@needs_ffmpeg
async def test_looping_and_adding_sound(tmp_path: Path) -> None:
    context = await media_context(tmp_path)
    ((_, looped),) = await run_block(loop_video, {"video_in": "v.mkv", "n_loops": 3}, context)
    ((_, loud),) = await run_block(add_audio_to_video, {"video_in": looped, "audio_in": "a.wav"}, context)
    media = await ffmpeg.inspect(context.files.path(loud))
    assert (media.video, media.audio) == (True, True)
    assert media.seconds == pytest.approx(3.0, abs=0.11)
    inputs = {"video_in": "v.mkv", "duration": 0.5, "output_return_type": "data_uri"}
    ((_, content),) = await run_block(loop_video, inputs, context)
    assert content.startswith("data:video/mp4;base64,")


@needs_ffmpeg
async def test_playlists_open_nothing(tmp_path: Path) -> None:
    context = await media_context(tmp_path)
    with pytest.raises(BlockError, match="not audio or video"):
        await run_block(media_duration, {"media_in": "list.mp4"}, context)


@needs_ffmpeg
@pytest.mark.parametrize("inputs", [{"duration": 10**6}, {"n_loops": 10**9}])
async def test_too_long_videos_are_refused_before_the_work(tmp_path: Path, inputs: dict[str, int]) -> None:
    with pytest.raises(BlockError, match="duration"):
        await run_block(loop_video, {"video_in": "v.mkv", **inputs}, await media_context(tmp_path))


@needs_ffmpeg
async def test_a_slow_run_is_killed(tmp_path: Path) -> None:
    endless = ["-f", "lavfi", "-i", "color=red:size=2000x2000", "-f", "null", "-"]
    with pytest.raises(BlockError, match="took longer"):
        await ffmpeg.run(endless, seconds=0.5)


async def test_without_the_program_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    ffmpeg.program.cache_clear()
    with pytest.raises(BlockError) as failure:
        await ffmpeg.run([])
    assert "pip install imageio-ffmpeg" in failure.value.fix
