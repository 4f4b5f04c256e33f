"""The transcript of a video."""

from treadle.integrations.youtube.captions import transcript, video_id
from treadle.integrations.youtube.manifest import INTEGRATION
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin


class TranscribeInputs(Inputs):
    youtube_url: str = pin("Address of the video.", placeholder="https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    credentials: CredentialsRef | None = INTEGRATION.pin(optional=True)


class TranscribeOutputs(Outputs):
    video_id: str = pin("YouTube's id of the video.")
    transcript: str = pin("What is said in it, a line for each caption.")


@block(
    id="f3a8f7e1-4b1d-4e5f-9f2a-7c3d5a2e6b4c",
    name="TranscribeYoutubeVideoBlock",
    outputs=TranscribeOutputs,
    categories=("SOCIAL",),
    work=Work.READ,
)
async def transcribe(inputs: TranscribeInputs, ctx: Context) -> Stream:
    """Gives the captions of a YouTube video as text."""
    video = video_id(inputs.youtube_url)
    yield "video_id", video
    yield "transcript", await transcript(ctx, video)
