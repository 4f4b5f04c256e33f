"""From text to the numbers that BERT models read: words in lower case without accents, cut into known pieces."""

import unicodedata
from collections.abc import Iterator, Mapping

LONGEST_WORD = 100
"""Characters; a longer word counts as unknown, as in BERT's own tokenizer."""
_SYMBOLS = frozenset("$+<=>^`|~")
"""ASCII that Unicode does not call punctuation, and BERT does."""
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Signs that are words of their own."""


class WordPieces:
    """The tokenizer of one vocabulary (piece -> number), which has ``[CLS]``, ``[SEP]`` and ``[UNK]``."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._vocabulary = vocabulary
        self._first, self._last = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self._unknown = vocabulary["[UNK]"]

    def numbers(self, text: str, longest: int) -> list[int]:
        """The numbers of a text, at most ``longest`` with the first and last mark; what is over is left out."""
        found = [self._first]
        for word in words(text):
            found += self._pieces(word)
            if len(found) >= longest:
                break
        return [*found[: longest - 1], self._last]

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginning, then of the rest, and so on; one unknown piece when that does not come out."""
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._vocabulary.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = end
        return found


def words(text: str) -> Iterator[str]:
    """The words of a text in order; each sign of punctuation, and each Chinese character, is a word."""
    spaced = "".join(f" {sign} " if _is_chinese(sign) else sign for sign in text if not _is_dropped(sign))
    for word in spaced.split():
        yield from _parts(word)


def _parts(word: str) -> Iterator[str]:
    """A word without accents, cut at its punctuation."""
    current = ""
    for sign in unicodedata.normalize("NFD", word.lower()):
        if unicodedata.category(sign) == "Mn":
            continue
        if not _is_punctuation(sign):
            current += sign
            continue
        if current:
            yield current
        yield sign
        current = ""
    if current:
        yield current


def _is_dropped(sign: str) -> bool:
    return sign not in "\t\n\r" and (sign in "\0\ufffd" or unicodedata.category(sign).startswith("C"))


def _is_chinese(sign: str) -> bool:
    return any(first <= ord(sign) <= last for first, last in _CHINESE)


def _is_punctuation(sign: str) -> bool:
    return sign in _SYMBOLS or unicodedata.category(sign).startswith("P")
