"""The W3C SPARQL 1.1 suite and the GeoSPARQL compliance benchmark; known failures may only become fewer.

`python -m benchmarks.semantics_suites FOLDER` prints scores and failures; docs/semantics.md says what each is due to.
"""

from __future__ import annotations

from pathlib import Path

import pyoxigraph as ox
import pytest
from rdflib.plugins.sparql.parserutils import CompValue

from benchmarks.semantics_suites import _bag, geosparql, w3c
from deepcube.semantics import UnsupportedQueryError, VectorStore
from deepcube.semantics.algebra import parse
from deepcube.semantics.serialise import select_text

KNOWN = {
    "aggregates: GROUP_CONCAT with same language tag",
    "aggregates: GROUP_CONCAT with one element",
    "aggregates: COUNT: no GROUP BY inside of GRAPH",
    "bindings: VALUES inside GRAPH binding the same variable as the graph name",
    "csv-tsv-res: csv03 - CSV Result Format",
    "csv-tsv-res: tsv03 - TSV Result Format",
    "negation: outer GRAPH operator does not affect MINUS disjointness",
    "property-path: * with start being a constant on the empty dataset",
    "property-path: * with end being a constant on the empty dataset",
    "property-path: ? with start being a constant on the empty dataset",
    "property-path: ? with end being a constant on the empty dataset",
}


def test_w3c(shared_data: Path) -> None:
    score = w3c(shared_data / "w3c-sparql-tests" / "sparql11")
    assert score.run.total() == 346
    assert set(score.failures) <= KNOWN


def test_geosparql(shared_data: Path) -> None:
    score = geosparql(shared_data / "geosparql-benchmark")
    assert score.run.total() == 206
    assert score.passed.total() >= 182, score.failures


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ?a (COUNT(*) AS ?n) (AVG(?c)*2 AS ?m) { ?a ?b ?c FILTER(?c > 1) } GROUP BY ?a HAVING(COUNT(*) > 1) "
        "ORDER BY DESC(?n) ?a LIMIT 5",
        "SELECT DISTINCT ?a { { ?a <urn:p> ?c } UNION { ?a <urn:q> ?d } OPTIONAL { ?a <urn:r> ?e FILTER(?e > ?c) } }",
        "SELECT ?a { ?a <urn:p>/^<urn:q>* ?c MINUS { ?a <urn:r> 3 } "
        "FILTER NOT EXISTS { ?a <urn:q> ?z FILTER(?z = ?c) } }",
        "SELECT ?a ?s { VALUES (?a ?z) { (<urn:1> UNDEF) (<urn:2> 'x\"y'@en) } ?a (<urn:p>|!<urn:q>)+ ?c "
        "BIND(CONCAT(STR(?a), '-', IF(?c IN (1, 2), 'y', 'n')) AS ?s) }",
        "SELECT ?a ?top { { SELECT ?a (MAX(?c) AS ?top) { ?a <urn:p> ?c } GROUP BY ?a } ?a <urn:q> ?d } ORDER BY ?top",
    ],
)
def test_algebra_written_out_means_the_same(query: str) -> None:
    """The text that the vector side is asked is the query that was meant."""
    store = VectorStore()
    lines = [f"<urn:{i % 4}> <urn:{'pqr'[i % 3]}> {i % 5}, <urn:{(i + 1) % 4}> ." for i in range(24)]
    store.store.load("\n".join(lines).encode(), ox.RdfFormat.TURTLE)
    algebra: CompValue = parse(query)
    assert _bag(store.query(select_text(algebra.p))) == _bag(store.query(query))


def test_service_is_refused() -> None:
    with pytest.raises(UnsupportedQueryError, match="SERVICE"):
        select_text(parse("SELECT * { SERVICE <http://example.org/sparql> { ?a ?b ?c } }").p)
