"""Music by MusicGen."""

from typing import Literal

from treadle.integrations.replicate.manifest import INTEGRATION
from treadle.integrations.replicate.predictions import as_text, predict
from treadle.sdk.block import Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin

# MusicGen is no official model of Replicate, so it runs only by version.
MUSICGEN = "meta/musicgen:671ac645ce5e552cc63a54a2bbff63fcf798043055d2dac5fc9e36a837eedcfb"


class MusicInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    prompt: str = pin("What the music is like.", placeholder="a calm piano over rain")
    music_gen_model_version: Literal["stereo-large", "melody-large", "large"] = pin(
        "Which MusicGen.", default="stereo-large"
    )
    duration: int = pin("Length in seconds.", default=8)
    temperature: float = pin("Higher is more varied.", default=1.0)
    top_k: int = pin("Choose among this many of the likeliest tokens.", default=250)
    top_p: float = pin("Choose among the likeliest tokens of this total likelihood; 0 to use top_k.", default=0.0)
    classifier_free_guidance: int = pin("How closely it follows the prompt.", default=3)
    output_format: Literal["wav", "mp3"] = pin("Kind of file.", default="wav")
    normalization_strategy: Literal["loudness", "clip", "peak", "rms"] = pin(
        "How the loudness is levelled.", default="loudness"
    )


class MusicOutputs(Outputs):
    result: str = pin("Address of the music.")


@block(
    id="44f6c8ad-d75c-4ae1-8209-aad1c0326928",
    name="AIMusicGeneratorBlock",
    outputs=MusicOutputs,
    categories=("AI",),
    cost=11,
)
async def generate_music(inputs: MusicInputs, ctx: Context) -> Stream:
    """Makes a piece of music of a text."""
    values = inputs.model_dump(include=set(MusicInputs.model_fields) - {"credentials", "music_gen_model_version"})
    output = await predict(ctx, MUSICGEN, {**values, "model_version": inputs.music_gen_model_version})
    yield "result", as_text(output)
