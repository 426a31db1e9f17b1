"""Searches in the vector index: an embedding feature group as an OpenSearch index, its rows as documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from deepcube.embedded.catalog import Entity
from deepcube.embedded.online.columns import Column, columns_of, quoted
from deepcube.embedded.online.database import table_name
from deepcube.embedded.online.documents import condition, document
from deepcube.embedded.online.errors import QueryError
from deepcube.embedded.online.reader import Reader
from deepcube.embedded.online.similarity import EmbeddingCache, Embeddings, decode_vectors, nearest, scores
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform

MAX_RESULTS = 1_000_000

Json = Any


class VectorIndex:
    """Searches embedding feature groups; ``platform.service(VectorIndex)``.

    Parameters
    ----------
    platform : Platform
        Shared state.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._store = platform.service(OnlineStore)
        self._cache = EmbeddingCache()

    def search(self, group: Entity, body: Json) -> Json:
        """Answer a search.

        Parameters
        ----------
        group : Entity
            The feature group whose index is searched.
        body : dict
            The search, in OpenSearch's query language.

        Raises
        ------
        QueryError
            If the search is not understood or asks for too much.
        """
        if not isinstance(body, dict):
            raise QueryError("a search must be an object")
        query, size = body.get("query") or {"match_all": {}}, _size(body.get("size"))
        index = _Index(self._platform, group)
        with self._store.readers(self._platform.project(group.project_id)).lend() as reader:
            if isinstance(query, dict) and "knn" in query:
                hits = self._nearest(reader, index, query["knn"], size)
            else:
                hits = [(1.0, row) for row in index.rows(reader, query, size)]
        return index.answer(hits, body.get("_source", True))

    def count(self, group: Entity, body: Json) -> int:
        """Count the documents that match a query.

        Raises
        ------
        QueryError
            If the query is not understood.
        """
        index = _Index(self._platform, group)
        with self._store.readers(self._platform.project(group.project_id)).lend() as reader:
            return index.count(reader, (body or {}).get("query") or {"match_all": {}})

    def _nearest(self, reader: Reader, index: _Index, knn: Json, size: int) -> list[tuple[float, tuple[Any, ...]]]:
        if not isinstance(knn, dict) or len(knn) != 1:
            raise QueryError("[knn] must name one field")
        ((name, wanted),) = knn.items()
        feature = index.embedding(name)
        k, vector = wanted.get("k", 10), _vector(wanted.get("vector"), feature["dimension"])
        if not isinstance(k, int) or not 0 < k <= MAX_RESULTS:
            raise QueryError(f"[knn] requires k to be in the range (0, {MAX_RESULTS}]")
        generation = self._store.generation(index.group.id)
        embeddings = self._cache.get(index.group.id, name, generation)
        if embeddings is None:
            rows = index.vectors(reader, name)
            embeddings = Embeddings.build(rows, index.columns[name].type, feature["dimension"])
            self._cache.put(index.group.id, name, generation, embeddings)
        places = np.arange(len(embeddings.keys))
        if wanted.get("filter") is not None:
            keys = index.keys(reader, wanted["filter"])
            places = np.asarray([embeddings.places[key] for key in keys if key in embeddings.places], np.intp)
        values = scores(embeddings.matrix[places], vector, feature["similarityFunctionType"])
        best = nearest(values, min(k, size))
        found = [(float(values[i]), index.row(reader, embeddings.keys[places[i]])) for i in best]
        return [(score, row) for score, row in found if row is not None]


class _Index:
    """What is known of one feature group as an index."""

    def __init__(self, platform: Platform, group: Entity) -> None:
        self.group = group
        self.columns = {column.name: column for column in columns_of(group.body["features"])}
        self._index = group.body["embeddingIndex"]
        self._table = f"{quoted(platform.project(group.project_id).name)}.{quoted(table_name(group))}"
        self._key = [name for name, column in self.columns.items() if column.primary]

    def embedding(self, name: str) -> Json:
        """Return the description of an embedding."""
        for feature in self._index["features"]:
            if feature["name"] == name and pa.types.is_list(self.columns[name].type):
                return feature
        raise QueryError(f"field [{name}] is no embedding of the index")

    def _run(self, reader: Reader, text: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        try:
            return reader.rows(reader.plan(text), parameters).fetchall()
        except sqlite3.Error as error:
            raise QueryError(str(error)) from None

    def _selected(self, names: list[str]) -> str:
        return ", ".join(map(quoted, names))

    def rows(self, reader: Reader, query: Json, size: int) -> list[tuple[Any, ...]]:
        """Return the rows that match a query, at most so many."""
        where, parameters = condition(query, self.columns)
        text = f"SELECT {self._selected(list(self.columns))} FROM {self._table} WHERE {where} LIMIT ?"
        return self._run(reader, text, [*parameters, size])

    def keys(self, reader: Reader, query: Json) -> list[tuple[Any, ...]]:
        """Return the keys of the rows that match a query."""
        where, parameters = condition(query, self.columns)
        return self._run(reader, f"SELECT {self._selected(self._key)} FROM {self._table} WHERE {where}", parameters)

    def count(self, reader: Reader, query: Json) -> int:
        """Return how many rows match a query."""
        where, parameters = condition(query, self.columns)
        return int(self._run(reader, f"SELECT count(*) AS n FROM {self._table} WHERE {where}", parameters)[0][0])

    def vectors(self, reader: Reader, name: str) -> list[tuple[Any, ...]]:
        """Return key and vector of every row that has one."""
        selected = self._selected([*self._key, name])
        return self._run(reader, f"SELECT {selected} FROM {self._table} WHERE {quoted(name)} IS NOT NULL", [])

    def row(self, reader: Reader, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the row of a key, or None if it was deleted meanwhile."""
        where = " AND ".join(f"{quoted(name)} = ?" for name in self._key)
        text = f"SELECT {self._selected(list(self.columns))} FROM {self._table} WHERE {where}"
        found = self._run(reader, text, list(key))
        return found[0] if found else None

    def answer(self, hits: list[tuple[float, tuple[Any, ...]]], source: Json) -> Json:
        """Write hits as OpenSearch does."""
        columns = list(self.columns.values())
        wanted = set(source) if isinstance(source, list) else set(self.columns) if source else set()
        chosen = [i for i, column in enumerate(columns) if column.name in wanted]
        decoders = {f["name"]: self._decoder(f) for f in self._index["features"] if f["name"] in wanted}
        places = [list(self.columns).index(name) for name in self._key]
        documents = [
            {
                "_index": self._index["indexName"],
                "_id": "_".join(str(row[i]) for i in places),
                "_score": score,
                "_source": document([columns[i] for i in chosen], tuple(row[i] for i in chosen), decoders),
            }
            for score, row in hits
        ]
        return search_answer(documents)

    def _decoder(self, feature: Json) -> Callable[[bytes], Json]:
        column: Column = self.columns[feature["name"]]

        def decode(content: bytes) -> Json:
            vector = decode_vectors([content], column.type, feature["dimension"])[0]
            return None if vector is None else vector.tolist()

        return decode


def search_answer(documents: list[Json]) -> Json:
    """Write the answer to a search."""
    return {
        "took": 0,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {
            "total": {"value": len(documents), "relation": "eq"},
            "max_score": max((hit["_score"] for hit in documents), default=None),
            "hits": documents,
        },
    }


def _size(size: Json) -> int:
    if size is None:
        return 10
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise QueryError(f"[size] must be a number of results, found {size!r}")
    if size > MAX_RESULTS:
        raise QueryError(
            f"Result window is too large, from + size must be less than or equal to: [{MAX_RESULTS}] but was [{size}]"
        )
    return size


def _vector(value: Json, dimension: int) -> Any:
    try:
        vector = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise QueryError("[knn] requires query vector") from None
    if vector.ndim != 1 or len(vector) != dimension:
        raise QueryError(
            f"Query vector has invalid dimension: {len(vector) if vector.ndim else 0}. Dimension should be: {dimension}"
        )
    return vector
