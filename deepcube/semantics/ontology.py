"""The ontology of our own words, shipped as ``ontology.ttl``."""

from __future__ import annotations

from functools import cache
from importlib import resources

import pyoxigraph as ox

from deepcube.semantics import vocabulary as v


def ontology_text() -> str:
    """Return the Turtle text of the ontology."""
    return (resources.files("deepcube.semantics") / "ontology.ttl").read_text(encoding="utf-8")


@cache
def ontology_terms() -> frozenset[str]:
    """Return the IRIs that the ontology defines."""
    triples = ox.parse(ontology_text(), ox.RdfFormat.TURTLE)
    found = {t.subject.value for t in triples if isinstance(t.subject, ox.NamedNode)}
    return frozenset(iri for iri in found if iri.startswith(v.DCUBE))
