"""Where the meaning of a text comes from: a small model on this machine, or an embedding service by setting."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import SecretStr

from treadle.base.errors import TreadleError
from treadle.sdk.context import Compute, Http
from treadle.sdk.errors import BlockError

EMBED = "treadle.features.search.minilm:embed"
"""The function of the offline model, for the workers' allow-list."""
AT_ONCE = 16
"""Texts in one call."""
_SECONDS_EACH = 4.0
_MEGABYTES = 1024
_LARGEST_ANSWER = 20_000_000

Vector = list[float]


class EmbeddingFailed(TreadleError):
    """No vectors now: searches go by words until there are some."""

    code = "embedding_failed"
    status = 503


class Embedder(Protocol):
    """Turns texts into vectors; texts of like meaning have vectors that point the same way."""

    model: str
    """Names the model: vectors of different ones cannot be compared."""
    least: float
    """Below this cosine two texts have nothing to do with each other."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each of at most ``AT_ONCE`` texts. Raises ``EmbeddingFailed``."""
        ...


class LocalEmbedder:
    """all-MiniLM-L6-v2 in a worker process that is started at the first use and ends when nobody uses it."""

    model = "all-MiniLM-L6-v2-int8"
    least = 0.3

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text."""
        seconds = _SECONDS_EACH * (1 + len(texts))
        try:
            found: list[Vector] = await self._compute.call(EMBED, list(texts), seconds=seconds, megabytes=_MEGABYTES)
        except BlockError as error:
            raise EmbeddingFailed(f"The offline embedding model does not answer: {error.message}") from error
        return found


class ServiceEmbedder:
    """A service with OpenAI's interface: ``POST {url}/embeddings``."""

    least = 0.2

    def __init__(self, http: Http, url: str, key: SecretStr, model: str) -> None:
        self._http = http
        self._url = f"{url.rstrip('/')}/embeddings"
        self._key = key
        self._name = model
        self.model = f"{model} at {self._url}"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text."""
        key = self._key.get_secret_value()
        try:
            answer = await self._http.request(
                "POST",
                self._url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                json={"model": self._name, "input": list(texts)},
                timeout=30.0,
                max_bytes=_LARGEST_ANSWER,
            )
            if answer.status != 200:
                raise EmbeddingFailed(f"The embedding service answered with the status {answer.status}.")
            return _vectors(answer.json(), len(texts))
        except BlockError as error:
            raise EmbeddingFailed(f"The embedding service does not answer: {error.message}") from error


def _vectors(answer: Any, count: int) -> list[Vector]:
    """The vectors of an answer in the order of the texts; whatever a service sends is looked at twice."""
    try:
        found = {int(each["index"]): [float(part) for part in each["embedding"]] for each in answer["data"]}
        vectors = [found[index] for index in range(count)]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise EmbeddingFailed("The embedding service answered with something else than vectors.") from None
    sizes = {len(each) for each in vectors}
    if len(sizes) != 1 or not 0 < sizes.pop() <= 16_000 or not all(map(_points_somewhere, vectors)):
        raise EmbeddingFailed("The embedding service answered with vectors that cannot be used.")
    return vectors


def _points_somewhere(vector: Vector) -> bool:
    return all(map(math.isfinite, vector)) and any(vector)
