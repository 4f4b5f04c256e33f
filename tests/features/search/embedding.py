"""A model for tests: a text means the things that its words stand for."""

import asyncio
from collections.abc import Sequence

from treadle.features.search.embedders import EmbeddingFailed, Vector

THINGS = (
    ("mail", "email", "letter", "post", "message"),
    ("cat", "kitten", "pet"),
    ("money", "invoice", "bill", "payment"),
    ("weather", "rain", "sun"),
)


class ThingEmbedder:
    """Counts the things that are spoken of; a text about nothing means something of its own."""

    least = 0.4

    def __init__(self, model: str = "things") -> None:
        self.model = model
        self.asked: list[str] = []
        self.works = asyncio.Event()
        self.works.set()
        self.broken = False

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text."""
        await self.works.wait()
        if self.broken:
            raise EmbeddingFailed("The test's model is broken.")
        self.asked += texts
        return [_vector(text) for text in texts]


def _vector(text: str) -> Vector:
    words = text.lower().replace(".", " ").replace(",", " ").split()
    counts = [float(sum(word in thing for word in words)) for thing in THINGS]
    return [*counts, 0.0 if any(counts) else 1.0]
