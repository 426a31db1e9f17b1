"""Nearest neighbours of embeddings: exact search over the vectors of a feature group.

Scores are those of OpenSearch's k-NN plugin, from which the client computes its distance as ``1 / score - 1``:

============== ================================= ==================================
similarity     score                             the client's distance
============== ================================= ==================================
l2_norm        ``1 / (1 + |x - y|^2)``           ``|x - y|^2``
cosine         ``1 / (1 + (1 - cos(x, y)))``     ``1 - cos(x, y)``
dot_product    ``x.y + 1``, or ``1 / (1 - x.y)`` ``1 / (x.y + 1) - 1``, or ``-x.y``
               for a negative product            for a negative product
============== ================================= ==================================
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepcube.embedded.online.avro import ValueCodec

L2, COSINE, DOT_PRODUCT = "l2_norm", "cosine", "dot_product"

Floats = NDArray[np.float32]
Key = tuple[Any, ...]

_ROWS_AT_ONCE = 8192
_MAX_CACHED_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Embeddings:
    """The vectors of one feature of a feature group.

    Attributes
    ----------
    keys : list of tuple
        Primary key of each row.
    places : dict
        Row of each key.
    matrix : ndarray, shape (rows, dimension), float32
        The vectors.
    """

    keys: list[Key]
    places: dict[Key, int]
    matrix: Floats

    @classmethod
    def build(cls, rows: list[tuple[Any, ...]], kind: pa.DataType, dimension: int) -> Embeddings:
        """Decode rows: the primary key, then the vector as Avro bytes; vectors of another length are left out."""
        blobs = [row[-1] for row in rows]
        vectors = decode_vectors(blobs, kind, dimension)
        known = [(row[:-1], vector) for row, vector in zip(rows, vectors, strict=True) if vector is not None]
        keys = [key for key, _ in known]
        matrix = np.array([vector for _, vector in known], np.float32).reshape(len(known), dimension)
        return cls(keys, {key: place for place, key in enumerate(keys)}, matrix)


def decode_vectors(blobs: list[bytes], kind: pa.DataType, dimension: int) -> list[Floats | None]:
    """Return the vectors that Avro bytes hold; None where they are not vectors of the dimension.

    Parameters
    ----------
    blobs : list of bytes
        Values of a feature of type ``array<float>`` or ``array<double>``.
    kind : pa.DataType
        Its Arrow type.
    dimension : int
        Length of every vector.
    """
    width = 4 if pa.types.is_float32(kind.value_type) else 8
    plain = pa.types.is_floating(kind.value_type)
    head = b"\x02" + _zigzag(dimension)
    length = len(head) + dimension * (width + 1) + 1
    codec = ValueCodec(kind)
    regular = [i for i, blob in enumerate(blobs) if plain and len(blob) == length and blob.startswith(head)]
    vectors: list[Floats | None] = [None] * len(blobs)
    if regular and dimension:
        # All have one block without nulls: a tag byte 2 before each number, little-endian.
        content = np.frombuffer(b"".join(blobs[i][len(head) : -1] for i in regular), np.uint8)
        items = content.reshape(len(regular), dimension, width + 1)
        whole = (items[:, :, 0] == 2).all(axis=1)
        numbers = np.ascontiguousarray(items[:, :, 1:]).view("<f4" if width == 4 else "<f8")[:, :, 0]
        for place, i in enumerate(regular):
            if whole[place]:
                vectors[i] = numbers[place].astype(np.float32)
    for i, blob in enumerate(blobs):
        if vectors[i] is None:
            values = codec.read(blob)
            if isinstance(values, list) and len(values) == dimension and None not in values:
                vectors[i] = np.asarray(values, np.float32)
    return vectors


def _zigzag(number: int) -> bytes:
    rest, content = number << 1, bytearray()
    while rest > 0x7F:
        content.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*content, rest])


def scores(matrix: Floats, vector: Floats, similarity: str) -> NDArray[np.float64]:
    """Return the score of each row of a matrix against a vector; higher is nearer.

    Parameters
    ----------
    matrix : ndarray, shape (rows, dimension)
        The vectors.
    vector : ndarray, shape (dimension,)
        What is searched for.
    similarity : str
        ``L2``, ``COSINE`` or ``DOT_PRODUCT``.
    """
    wanted = vector.astype(np.float64)
    parts = [_scores(matrix[i : i + _ROWS_AT_ONCE], wanted, similarity) for i in range(0, len(matrix), _ROWS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)


def _scores(matrix: Floats, wanted: NDArray[np.float64], similarity: str) -> NDArray[np.float64]:
    wide = matrix.astype(np.float64)
    if similarity == COSINE:
        lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(wanted)
        cosine = np.divide(wide @ wanted, lengths, out=np.zeros(len(wide)), where=lengths > 0)
        return np.asarray(1.0 / (2.0 - cosine))
    if similarity == DOT_PRODUCT:
        product = wide @ wanted
        return np.where(product >= 0, product + 1.0, 1.0 / (1.0 - np.minimum(product, 0.0)))
    return np.asarray(1.0 / (1.0 + ((wide - wanted) ** 2).sum(axis=1)))


def nearest(values: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Return the places of the k highest scores, best first; equal scores in the order of the rows."""
    if k < len(values):
        chosen = np.argpartition(-values, k)[:k]
        threshold = values[chosen].min()
        chosen = np.flatnonzero(values >= threshold)
    else:
        chosen = np.arange(len(values))
    return chosen[np.argsort(-values[chosen], kind="stable")][:k]


class EmbeddingCache:
    """Decoded embeddings, as long as their feature group does not change and memory allows."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, str], tuple[int, Embeddings]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, group_id: int, feature: str, generation: int) -> Embeddings | None:
        """Return what was put with this generation of the group's rows, or None."""
        with self._guard:
            known = self._entries.get((group_id, feature))
            if known is None or known[0] != generation:
                return None
            self._entries.move_to_end((group_id, feature))
            return known[1]

    def put(self, group_id: int, feature: str, generation: int, embeddings: Embeddings) -> None:
        """Keep embeddings; those used longest ago make room."""
        with self._guard:
            self._entries[group_id, feature] = generation, embeddings
            self._entries.move_to_end((group_id, feature))
            while sum(entry.matrix.nbytes for _, entry in self._entries.values()) > _MAX_CACHED_BYTES:
                self._entries.popitem(last=False)
