"""The SQL of searching: by words and by meaning at once, each list ranked for itself, and the ranks fused.

Reciprocal rank fusion: what stands at place ``n`` of a list gets 1 / (60 + n) points, and the points are added. So the
two lists need no common scale, and what both know comes first.

Each query of a workspace's own texts names the workspace where it measures vectors, beside the row-level security that
the api role is under: a search looks at no vector of somebody else.
"""

import re

_LISTED = 100
_SMOOTHING = 60

_FUSED = """
WITH asked AS (
    SELECT to_tsquery('english', {words}) || to_tsquery('simple', {prefix}) AS query, lower({plain}) AS plain
), worded AS (
    SELECT {key} AS key, row_number() OVER (
        ORDER BY ts_rank(t.words, asked.query) + word_similarity(asked.plain, lower(t.title)) DESC, {key}) AS place
    FROM {table} t, asked
    WHERE {mine} AND (t.words @@ asked.query OR word_similarity(asked.plain, lower(t.title)) > 0.5)
    ORDER BY place LIMIT {listed}
), meant AS (
    SELECT {key} AS key, 1 - (t.embedding <=> {vector}::vector) AS likeness,
        row_number() OVER (ORDER BY t.embedding <=> {vector}::vector, {key}) AS place
    FROM {table} t
    WHERE {mine} AND {vector}::text IS NOT NULL AND t.model = {model} AND t.embedding IS NOT NULL
        AND vector_dims(t.embedding) = vector_dims({vector}::vector)
    ORDER BY place LIMIT {listed}
)
SELECT key, coalesce(1.0 / ({smoothing} + worded.place), 0) + coalesce(1.0 / ({smoothing} + close.place), 0) AS points
FROM worded FULL JOIN (SELECT * FROM meant WHERE likeness >= {least}) AS close USING (key)
ORDER BY points DESC, key
"""


def _fused(table: str, key: str, mine: str, first: int) -> str:
    """A query whose parameters for the text and the vector begin at number ``first``."""
    names = ("words", "prefix", "plain", "vector", "model", "least")
    types = ("text", "text", "text", "text", "text", "float8")
    places = {name: f"${first + place}::{kind}" for place, (name, kind) in enumerate(zip(names, types, strict=True))}
    return _FUSED.format(table=table, key=key, mine=mine, listed=_LISTED, smoothing=_SMOOTHING, **places)


BLOCKS = _fused("block_texts", "t.digest", "t.digest = ANY ($1::bytea[]) AND t.model = $2::text", 3)
"""Parameters: the digests of this install's blocks, the model, then those of the search."""

GRAPHS = _fused(
    "graph_texts",
    "t.graph_id",
    "t.workspace_id = $1::uuid AND EXISTS (SELECT 1 FROM graph_heads h"
    " WHERE h.workspace_id = $1::uuid AND h.id = t.graph_id AND h.deleted_at IS NULL)",
    2,
)
"""Parameters: the workspace, then those of the search."""


def word_queries(text: str) -> tuple[str, str]:
    """A text as PostgreSQL's queries: any of its words; and, in plain form, the last one as the beginning of a word."""
    found = re.findall(r"\w+", text.lower())[:30]
    if not found:
        return "", ""
    quoted = [f"'{word}'" for word in found]
    return " | ".join(quoted), " | ".join([*quoted[:-1], f"{quoted[-1]}:*"])
