"""Any model of Replicate, by its name."""

from treadle.integrations.replicate.manifest import INTEGRATION
from treadle.integrations.replicate.predictions import as_text, predict
from treadle.sdk.block import Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.pins import Inputs, Outputs, pin


class ModelInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    model_name: str = pin("The model, as owner/name.", placeholder="stability-ai/stable-diffusion-3.5-large")
    model_inputs: dict[str, str | int] = pin("What the model is given.", default_factory=dict, advanced=False)
    version: str | None = pin("A certain version of the model; the newest when empty.", default=None)


class ModelOutputs(Outputs):
    result: str = pin("What the model made: a text, or the address of a file.")
    status: str = pin("How the run ended.")
    model_name: str = pin("The model that ran.")


@block(
    id="c40d75a2-d0ea-44c9-a4f6-634bb3bdab1a",
    name="ReplicateModelBlock",
    outputs=ModelOutputs,
    categories=("AI",),
    cost=10,
)
async def run_model(inputs: ModelInputs, ctx: Context) -> Stream:
    """Runs any model of Replicate and waits for what it makes."""
    output = await predict(ctx, inputs.model_name, inputs.model_inputs, inputs.version or "")
    yield "result", as_text(output)
    yield "status", "succeeded"
    yield "model_name", inputs.model_name
