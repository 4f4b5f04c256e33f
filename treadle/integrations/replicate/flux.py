"""Pictures by the Flux models."""

from typing import Literal

from treadle.integrations.replicate.manifest import INTEGRATION
from treadle.integrations.replicate.predictions import as_text, predict
from treadle.sdk.block import Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin

FLUX = {
    "Flux Schnell": "black-forest-labs/flux-schnell",
    "Flux Pro": "black-forest-labs/flux-pro",
    "Flux Pro 1.1": "black-forest-labs/flux-1.1-pro",
}


class FluxInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    prompt: str = pin("What the picture shows.", placeholder="a dog in the park")
    replicate_model_name: Literal["Flux Schnell", "Flux Pro", "Flux Pro 1.1"] = pin(
        "The model.", default="Flux Schnell", advanced=False
    )
    seed: int | None = pin("The same number gives the same picture; a new one each time when empty.", default=None)
    steps: int = pin("How many steps the model takes.", default=25)
    guidance: float = pin("How closely it follows the prompt.", default=3)
    interval: float = pin("How much the pictures of one prompt may differ.", default=2)
    aspect_ratio: str = pin("Width to height.", default="1:1", placeholder="16:9")
    output_format: Literal["webp", "jpg", "png"] = pin("Kind of file.", default="webp")
    output_quality: int = pin("Quality of lossy files, from 0 to 100.", default=80)
    safety_tolerance: int = pin("From 1, the strictest, to 5.", default=2)


class FluxOutputs(Outputs):
    result: str = pin("Address of the picture.")


@block(
    id="90f8c45e-e983-4644-aa0b-b4ebe2f531bc",
    name="ReplicateFluxAdvancedModelBlock",
    outputs=FluxOutputs,
    categories=("AI", "MULTIMEDIA"),
    cost=10,
)
async def flux(inputs: FluxInputs, ctx: Context) -> Stream:
    """Makes a picture with one of the Flux models, with all their settings."""
    values = inputs.model_dump(include=set(FluxInputs.model_fields) - {"credentials", "replicate_model_name"})
    yield "result", as_text(await predict(ctx, FLUX[inputs.replicate_model_name], values))
