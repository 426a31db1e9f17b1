"""The vector side: linked data in a pyoxigraph store, asked in SPARQL with one definition of every function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import LoadError
from deepcube.semantics.functions import FUNCTIONS


class VectorStore:
    """Linked data: features, their geometries and properties, ontologies, descriptions of cubes.

    Parameters
    ----------
    path : path, optional
        Folder that keeps the data; in memory without one.
    read_only : bool
        Whether the folder is only read, so that several processes may use it at once.

    Raises
    ------
    LoadError
        If the folder cannot be opened.
    """

    def __init__(self, path: Path | None = None, read_only: bool = False) -> None:
        self.path = path
        try:
            if path is not None and read_only:
                self.store = ox.Store.read_only(str(path))
            else:
                self.store = ox.Store() if path is None else ox.Store(str(path))
        except OSError as error:
            raise LoadError(f"The linked data in {path} cannot be opened: {error}") from error

    def __len__(self) -> int:
        return len(self.store)

    def add(self, quads: Iterator[ox.Quad]) -> int:
        """Add quads in one transaction and return how many there were."""
        count = 0

        def counted() -> Iterator[ox.Quad]:
            nonlocal count
            for quad in quads:
                count += 1
                yield quad

        self.store.bulk_extend(counted())
        if self.path is not None:
            self.store.flush()
        return count

    def query(self, text: str, **options: Any) -> Any:
        """Ask in SPARQL.

        Parameters
        ----------
        text : str
            A query.
        **options
            As ``pyoxigraph.Store.query`` has them: base_iri, default_graph, named_graphs.

        Returns
        -------
        pyoxigraph.QuerySolutions, QueryBoolean or QueryTriples
        """
        return self.store.query(text, prefixes=v.PREFIXES, custom_functions=FUNCTIONS, **options)

    def has_predicate(self, iri: str) -> bool:
        """Return whether any triple has a predicate."""
        return (
            next(iter(self.store.quads_for_pattern(None, ox.NamedNode(iri), None, ox.DefaultGraph())), None) is not None
        )

    def mentions(self, iri: str) -> bool:
        """Return whether a word stands anywhere in any triple, named graphs included."""
        word = ox.NamedNode(iri)
        places = ((word, None, None), (None, word, None), (None, None, word))
        return any(next(iter(self.store.quads_for_pattern(*place)), None) is not None for place in places)

    def words(self, namespace: str) -> set[str]:
        """Return the classes and predicates of a namespace that the data use; looks at every triple."""
        return {
            iri
            for quad in self.store
            for term in (quad.predicate, quad.object)
            if isinstance(term, ox.NamedNode) and (iri := term.value).startswith(namespace)
        }

    def is_silent(self, iri: str) -> bool:
        """Return whether no members of a class are stated."""
        found = self.store.quads_for_pattern(None, ox.NamedNode(v.A), ox.NamedNode(iri), ox.DefaultGraph())
        return next(iter(found), None) is None

    def copied(self) -> VectorStore:
        """Return a copy in memory; a store that is in memory already is returned itself."""
        if self.path is None:
            return self
        more = VectorStore()
        more.store.bulk_extend(iter(self.store))
        return more

    def with_more(self, quads: set[ox.Quad]) -> VectorStore:
        """Return a store in memory with more quads; the folder of a stored one is not written to."""
        more = self.copied()
        more.store.extend(quads)
        return more
