"""Pictures: made of a text, or of other pictures."""

from typing import Any, Literal

from treadle.integrations.replicate.manifest import INTEGRATION
from treadle.integrations.replicate.predictions import as_text, predict
from treadle.sdk.block import Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin

Size = Literal["square", "landscape", "portrait", "wide", "tall"]
RATIOS: dict[Size, str] = {"square": "1:1", "landscape": "4:3", "portrait": "3:4", "wide": "16:9", "tall": "9:16"}
RECRAFT_SIZES: dict[Size, str] = {
    "square": "1024x1024",
    "landscape": "1365x1024",
    "portrait": "1024x1365",
    "wide": "1536x1024",
    "tall": "1024x1536",
}
Style = Literal[
    "any",
    "realistic_image",
    "realistic_image/b_and_w",
    "realistic_image/hdr",
    "realistic_image/natural_light",
    "realistic_image/studio_portrait",
    "realistic_image/enterprise",
    "realistic_image/hard_flash",
    "realistic_image/motion_blur",
    "digital_illustration",
    "digital_illustration/pixel_art",
    "digital_illustration/hand_drawn",
    "digital_illustration/grain",
    "digital_illustration/infantile_sketch",
    "digital_illustration/2d_art_poster",
    "digital_illustration/handmade_3d",
    "digital_illustration/hand_drawn_outline",
    "digital_illustration/engraving_color",
    "digital_illustration/2d_art_poster_2",
]
GENERATORS = {
    "Flux 1.1 Pro": "black-forest-labs/flux-1.1-pro",
    "Flux 1.1 Pro Ultra": "black-forest-labs/flux-1.1-pro-ultra",
    "Recraft v3": "recraft-ai/recraft-v3",
    "Stable Diffusion 3.5 Medium": "stability-ai/stable-diffusion-3.5-medium",
    "Nano Banana Pro": "google/nano-banana-pro",
}


class GeneratorInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    prompt: str = pin("What the picture shows.", placeholder="a red panda on a purple chair")
    model: Literal[
        "Flux 1.1 Pro", "Flux 1.1 Pro Ultra", "Recraft v3", "Stable Diffusion 3.5 Medium", "Nano Banana Pro"
    ] = pin("The model.", default="Stable Diffusion 3.5 Medium")
    size: Size = pin("Form of the picture.", default="square")
    style: Style = pin("Style of the picture.", default="any")


class GeneratorOutputs(Outputs):
    image_url: str = pin("Address of the picture.")


@block(
    id="ed1ae7a0-b770-4089-b520-1f0005fad19a",
    name="AIImageGeneratorBlock",
    outputs=GeneratorOutputs,
    categories=("AI",),
    cost=6,
)
async def generate_image(inputs: GeneratorInputs, ctx: Context) -> Stream:
    """Makes a picture of a text with the model of your choice."""
    yield "image_url", as_text(await predict(ctx, GENERATORS[inputs.model], _wishes(inputs)))


def _wishes(inputs: GeneratorInputs) -> dict[str, Any]:
    """Only Recraft takes a style as such and sizes in pixels; the others are told the style in words."""
    if inputs.model == "Recraft v3":
        return {"prompt": inputs.prompt, "size": RECRAFT_SIZES[inputs.size], "style": inputs.style}
    style = "" if inputs.style == "any" else ", ".join(inputs.style.replace("_", " ").split("/"))
    prompt = f"{style}: {inputs.prompt}" if style else inputs.prompt
    return {"prompt": prompt, "aspect_ratio": RATIOS[inputs.size]}


class CustomizerInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    prompt: str = pin("What the picture shows, or how it changes.")
    model: Literal["google/nano-banana", "google/nano-banana-pro"] = pin("The model.", default="google/nano-banana")
    images: list[str] = pin("Pictures to start from.", default_factory=list, format="file")
    aspect_ratio: Literal[
        "match_input_image", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"
    ] = pin("Width to height.", default="match_input_image")
    output_format: Literal["jpg", "png"] = pin("Kind of file.", default="png")


class CustomizerOutputs(Outputs):
    image_url: str = pin("The picture, as a data URI: Replicate keeps its own copy for an hour only.", format="file")


@block(
    id="d76bbe4c-930e-4894-8469-b66775511f71",
    name="AIImageCustomizerBlock",
    outputs=CustomizerOutputs,
    categories=("AI", "MULTIMEDIA"),
    cost=10,
)
async def customize_image(inputs: CustomizerInputs, ctx: Context) -> Stream:
    """Makes a picture of a text and, when given, of other pictures."""
    wishes = {
        "prompt": inputs.prompt,
        "image_input": [await _image(each, ctx) for each in inputs.images] or None,
        "aspect_ratio": "1:1"
        if inputs.aspect_ratio == "match_input_image" and not inputs.images
        else inputs.aspect_ratio,
        "output_format": inputs.output_format,
    }
    made = as_text(await predict(ctx, inputs.model, wishes))
    yield "image_url", await ctx.files.store(made, return_content=True)


class EditorInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    prompt: str = pin("How the picture changes.")
    input_image: str | None = pin("The picture; without one it is made of the text.", default=None, format="file")
    aspect_ratio: Literal[
        "match_input_image",
        "1:1",
        "16:9",
        "9:16",
        "4:3",
        "3:4",
        "3:2",
        "2:3",
        "4:5",
        "5:4",
        "21:9",
        "9:21",
        "2:1",
        "1:2",
    ] = pin("Width to height.", default="match_input_image", advanced=False)
    seed: int | None = pin("The same number gives the same picture.", default=None)
    model: Literal["Flux Kontext Pro", "Flux Kontext Max"] = pin("The model.", default="Flux Kontext Pro")


class EditorOutputs(Outputs):
    output_image: str = pin("The picture, as a data URI: Replicate keeps its own copy for an hour only.", format="file")


EDITORS = {
    "Flux Kontext Pro": "black-forest-labs/flux-kontext-pro",
    "Flux Kontext Max": "black-forest-labs/flux-kontext-max",
}


@block(
    id="3fd9c73d-4370-4925-a1ff-1b86b99fabfa",
    name="AIImageEditorBlock",
    outputs=EditorOutputs,
    categories=("AI", "MULTIMEDIA"),
    cost=10,
)
async def edit_image(inputs: EditorInputs, ctx: Context) -> Stream:
    """Changes a picture as a text says."""
    wishes = {
        "prompt": inputs.prompt,
        "input_image": await _image(inputs.input_image, ctx) if inputs.input_image else None,
        "aspect_ratio": inputs.aspect_ratio,
        "seed": inputs.seed,
    }
    made = as_text(await predict(ctx, EDITORS[inputs.model], wishes))
    yield "output_image", await ctx.files.store(made, return_content=True)


async def _image(source: str, ctx: Context) -> str:
    """The picture as Replicate takes it: its own address on the web, or its content."""
    return source if source.startswith("https://") else await ctx.files.store(source, return_content=True)
