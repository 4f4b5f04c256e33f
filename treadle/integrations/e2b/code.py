"""Running code: once, or step by step in a sandbox that stays."""

from typing import Any, Literal

from treadle.integrations.e2b.manifest import INTEGRATION
from treadle.integrations.e2b.sandbox import Execution, connect, create, disposed
from treadle.sdk.block import Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

Language = Literal["python", "js", "bash", "r", "java"]
STEP_SECONDS = 300


class ExecuteInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    setup_commands: list[str] = pin("Shell commands to run first.", default_factory=list, advanced=False)
    code: str = pin("The code.", default="", advanced=False, format="long-text")
    language: Language = pin("Its language.", default="python", advanced=False)
    timeout: int = pin("How long it may take, in seconds.", default=300)
    dispose_sandbox: bool = pin("Throw the sandbox away afterwards.", default=True)
    template_id: str = pin("Your own template for the sandbox.", default="")


class ExecutionOutputs(Outputs):
    main_result: dict[str, Any] = pin("What the code's last line gives, in every format that there is.")
    results: list[dict[str, Any]] = pin("All results, charts and tables included.")
    response: str = pin("The main result as text.")
    stdout_logs: str = pin("What the code printed.")
    stderr_logs: str = pin("What it wrote to standard error.")


@block(
    id="0b02b072-abe7-11ef-8372-fb5d162dd712",
    name="ExecuteCodeBlock",
    outputs=ExecutionOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def execute_code(inputs: ExecuteInputs, ctx: Context) -> Stream:
    """Runs code in a new sandbox at E2B, with access to the internet."""
    sandbox = await create(ctx, inputs.template_id, inputs.timeout)
    async with disposed(sandbox, inputs.dispose_sandbox):
        await sandbox.set_up(inputs.setup_commands, inputs.timeout)
        execution = await sandbox.run(inputs.code, inputs.language, inputs.timeout)
    for emission in execution.outputs("main_result", "results", "response", "stdout_logs", "stderr_logs"):
        yield emission


class InstantiateInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    setup_commands: list[str] = pin("Shell commands to run first.", default_factory=list, advanced=False)
    setup_code: str = pin("Code to run then.", default="", advanced=False, format="long-text")
    language: Language = pin("The code's language.", default="python", advanced=False)
    timeout: int = pin("How long the sandbox stays, in seconds.", default=300)
    template_id: str = pin("Your own template for the sandbox.", default="")


class InstantiateOutputs(Outputs):
    sandbox_id: str = pin("The sandbox, for the Execute Code Step block.")
    response: str = pin("What the code's last line gives, as text.")
    stdout_logs: str = pin("What the code printed.")
    stderr_logs: str = pin("What it wrote to standard error.")


@block(
    id="ff0861c9-1726-4aec-9e5b-bf53f3622112",
    name="InstantiateCodeSandboxBlock",
    outputs=InstantiateOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def instantiate_sandbox(inputs: InstantiateInputs, ctx: Context) -> Stream:
    """Starts a sandbox at E2B that stays, for running code in it step by step."""
    sandbox = await create(ctx, inputs.template_id, inputs.timeout)
    execution = Execution()
    try:
        await sandbox.set_up(inputs.setup_commands, inputs.timeout)
        if inputs.setup_code:
            execution = await sandbox.run(inputs.setup_code, inputs.language, inputs.timeout)
    except BlockError:
        await sandbox.kill()  # nobody would ever learn its id
        raise
    yield "sandbox_id", sandbox.id
    for emission in execution.outputs("response", "stdout_logs", "stderr_logs"):
        yield emission


class StepInputs(Inputs):
    credentials: CredentialsRef = INTEGRATION.pin()
    sandbox_id: str = pin("The sandbox, from the Instantiate Code Sandbox block.")
    step_code: str = pin("The code.", default="", advanced=False, format="long-text")
    language: Language = pin("Its language.", default="python", advanced=False)
    dispose_sandbox: bool = pin("Throw the sandbox away afterwards.", default=False)


@block(
    id="82b59b8e-ea10-4d57-9161-8b169b0adba6",
    name="ExecuteCodeStepBlock",
    outputs=ExecutionOutputs,
    categories=("DEVELOPER_TOOLS",),
)
async def execute_step(inputs: StepInputs, ctx: Context) -> Stream:
    """Runs code in a sandbox that is already there; what earlier steps defined is still known."""
    sandbox = await connect(ctx, inputs.sandbox_id, STEP_SECONDS)
    async with disposed(sandbox, inputs.dispose_sandbox):
        execution = await sandbox.run(inputs.step_code, inputs.language, STEP_SECONDS)
    for emission in execution.outputs("main_result", "results", "response", "stdout_logs", "stderr_logs"):
        yield emission
