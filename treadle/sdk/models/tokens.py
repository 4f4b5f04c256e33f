"""How many tokens a text is, roughly and without a tokenizer's tables.

English text is about four characters per token in the tokenizers of today's models; text outside ASCII is closer to
one token per character. The estimate is on the high side, so that what is measured with it fits.
"""

CHARS_PER_TOKEN = 3.5


def estimate(text: str) -> int:
    """An upper estimate of the number of tokens in ``text``."""
    return int(_weight(text)) + 1


def _weight(text: str) -> float:
    if text.isascii():
        return len(text) / CHARS_PER_TOKEN
    plain = sum(character.isascii() for character in text)
    return plain / CHARS_PER_TOKEN + (len(text) - plain)


def chunks(text: str, size: int, overlap: int) -> list[str]:
    """Cut ``text`` at blanks into pieces of about ``size`` tokens; each repeats the last ``overlap`` tokens before it.

    A word longer than a piece is cut. Raises ``ValueError`` when ``size`` is not over ``overlap``.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and under the size {size}")
    words = _words(text, size)
    pieces: list[str] = []
    start = 0
    while start < len(words):
        end = _take(words, start, size)
        pieces.append("".join(words[start:end]).strip())
        if end == len(words):
            break
        start = max(_back(words, end, overlap), start + 1)
    return [piece for piece in pieces if piece]


def _words(text: str, size: int) -> list[str]:
    longest = max(1, int(size / 2))
    words: list[str] = []
    for word in text.replace("\r\n", "\n").split(" "):
        spaced = word + " "
        words.extend(spaced[at : at + longest] for at in range(0, len(spaced), longest))
    return words


def _take(words: list[str], start: int, size: int) -> int:
    used = 0.0
    for index in range(start, len(words)):
        used += _weight(words[index])
        if used > size and index > start:
            return index
    return len(words)


def _back(words: list[str], end: int, overlap: int) -> int:
    used = 0.0
    for index in range(end - 1, -1, -1):
        used += _weight(words[index])
        if used > overlap:
            return index + 1
    return 0
