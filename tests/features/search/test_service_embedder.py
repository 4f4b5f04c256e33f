"""An embedding service instead of the model on this machine, over real HTTP."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tests.sdk.http_server import answer, serving
from treadle.features.search.embedders import EmbeddingFailed, ServiceEmbedder
from treadle.sdk.http import EgressClient

KEY = "sk-canary"


def given(*vectors: Any) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"data": data[::-1]}).encode()


async def asked(status: int, body: bytes, texts: list[str]) -> tuple[Any, list[Any]]:
    """What the embedder makes of an answer, and what it asked for."""
    async with serving(answer(status, body)) as server:
        async with EgressClient(allow=frozenset({("127.0.0.1", server.port)})) as http:
            embedder = ServiceEmbedder(http, f"http://127.0.0.1:{server.port}/v1/", SecretStr(KEY), "a-model")
            try:
                made: Any = await embedder.embed(texts)
            except EmbeddingFailed as error:
                made = error
        return made, server.received


async def test_texts_are_sent_and_vectors_come_back_in_their_order() -> None:
    made, (request,) = await asked(200, given([1.0, 0.0], [0.0, 2.0]), ["one", "two"])
    assert made == [[1.0, 0.0], [0.0, 2.0]]
    assert (request.method, request.target) == ("POST", "/v1/embeddings")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.body) == {"model": "a-model", "input": ["one", "two"]}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"error": "no such key sk-canary"}'),
        (500, b""),
        (200, b"not json"),
        (200, b"[]"),
        (200, b'{"data": 7}'),
        (200, given([1.0])),
        (200, given([1.0], [1.0, 2.0])),
        (200, given([], [])),
        (200, given([0.0], [0.0])),
        (200, given(["x"], [1.0])),
        (200, b'{"data": [{"index": 0, "embedding": [1e999]}, {"index": 1, "embedding": [1]}]}'),
    ],
)
async def test_whatever_else_a_service_answers_is_a_failure_without_the_key(status: int, body: bytes) -> None:
    made, _ = await asked(status, body, ["one", "two"])
    assert isinstance(made, EmbeddingFailed)
    assert KEY not in made.message


async def test_a_private_service_needs_the_operators_word() -> None:
    async with serving(answer(200, given([1.0]))) as server, EgressClient() as http:
        embedder = ServiceEmbedder(http, f"http://127.0.0.1:{server.port}", SecretStr(""), "a-model")
        with pytest.raises(EmbeddingFailed):
            await embedder.embed(["one"])
        assert server.received == []
