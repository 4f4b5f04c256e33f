"""Texts as models take them: in chunks and as embeddings."""

from typing import Any

from treadle.integrations.jina.manifest import INTEGRATION
from treadle.sdk.block import Stream, Work, block
from treadle.sdk.client import Client, post
from treadle.sdk.context import Context
from treadle.sdk.credentials import CredentialsRef
from treadle.sdk.operations import operation
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.shapes import items


class EmbeddingInputs(Inputs):
    texts: list[Any] = pin("The texts.")
    credentials: CredentialsRef = INTEGRATION.pin()
    model: str = pin("Jina's name of the model.", default="jina-embeddings-v2-base-en")


class EmbeddingOutputs(Outputs):
    embeddings: list[Any] = pin("One list of numbers for each text, in the same order.")


embedding = operation(
    INTEGRATION,
    id="7c56b3ab-62e7-43a2-a2dc-4ec4245660b6",
    name="JinaEmbeddingBlock",
    description="Turns texts into embeddings: lists of numbers that are close when the meanings are.",
    categories=("AI",),
    work=Work.READ,
    cost=12,
    inputs=EmbeddingInputs,
    outputs=EmbeddingOutputs,
    call=post("/v1/embeddings", body={"input": "{texts}", "model": "{model}"}),
    returns={"embeddings": items("data", "embedding")},
)


class ChunkingInputs(Inputs):
    texts: list[Any] = pin("The texts.")
    credentials: CredentialsRef = INTEGRATION.pin()
    max_chunk_length: int = pin("Longest chunk, in characters.", default=1000)
    return_tokens: bool = pin("Also give the tokens.", default=False)


class ChunkingOutputs(Outputs):
    chunks: list[Any] = pin("The chunks of all texts, in order.")
    tokens: list[Any] = pin("The tokens of each chunk; only when asked for.")


SEGMENT = post(
    "/v1/segment",
    body={
        "content": "{text}",
        "return_chunks": True,
        "return_tokens": "{return_tokens}",
        "max_chunk_length": "{max_chunk_length}",
    },
)


@block(
    id="806fb15e-830f-4796-8692-557d300ff43c",
    name="JinaChunkingBlock",
    outputs=ChunkingOutputs,
    categories=("AI", "TEXT"),
    work=Work.READ,
)
async def chunking(inputs: ChunkingInputs, ctx: Context) -> Stream:
    """Cuts texts into chunks at their natural borders."""
    jina = Client(INTEGRATION, ctx)
    chunks: list[Any] = []
    tokens: list[Any] = []
    wishes = {"return_tokens": inputs.return_tokens, "max_chunk_length": inputs.max_chunk_length}
    for text in inputs.texts:
        reply = await jina.call(SEGMENT, {**wishes, "text": str(text)})
        chunks += reply.get("chunks", [])
        tokens += reply.get("tokens", [])
    yield "chunks", chunks
    if inputs.return_tokens:
        yield "tokens", tokens
