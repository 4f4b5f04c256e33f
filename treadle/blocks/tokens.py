"""How many tokens of a language model a value takes, estimated: no vocabulary has to be downloaded or kept."""

import json
import re
from typing import Any

# The split that current byte-pair encodings make before they merge: a word with the blank before it, up to three
# digits, a run of signs with the blank before it, line ends, other blanks.
_PIECES = re.compile(r" ?([^\W\d_]+)|\d{1,3}| ?([^\w\s]|_)+|\s+")

LETTERS_PER_TOKEN = 9
"""Letters of an ASCII word that one token covers; common words up to this length are single tokens."""

OTHER_LETTERS_PER_TOKEN = 4
"""The same for words with other letters: accents, Cyrillic, Arabic and the like."""

SYLLABLES_PER_TOKEN = 2
"""The same for East Asian scripts, whose signs are syllables or words."""

_EAST_ASIAN = re.compile("[\u2e80-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]")


def count_tokens(value: Any) -> int:
    """About how many tokens the value's text takes; exact for common English words, digits and JSON signs."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return sum(_tokens_of(piece) for piece in _PIECES.finditer(text))


def _tokens_of(piece: re.Match[str]) -> int:
    word = piece.group(1)
    if word is None:
        return 1 + (len(piece.group()) - 1) // 4 if piece.group(2) else 1
    return -(-len(word) // _letters_per_token(word))


def _letters_per_token(word: str) -> int:
    if word.isascii():
        return LETTERS_PER_TOKEN
    return SYLLABLES_PER_TOKEN if _EAST_ASIAN.search(word) else OTHER_LETTERS_PER_TOKEN
