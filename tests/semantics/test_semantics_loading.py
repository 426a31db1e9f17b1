"""Linked data from real files of every kind, and files that are none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyoxigraph as ox
import pytest
import shapely

from deepcube.semantics import LoadError, VectorStore
from deepcube.semantics.geometry import parse_geometry
from deepcube.semantics.loading import load_file


def _ask(store: VectorStore, query: str) -> list[list[str]]:
    return [[term.value for term in row] for row in store.query(query)]


def test_natural_earth(shared_data: Path) -> None:
    store = VectorStore()
    store.add(load_file(shared_data / "natural-earth-npm" / "countries-110m.json", kind="Country"))
    assert _ask(store, "SELECT (COUNT(DISTINCT ?c) AS ?n) { ?c a feature:Country ; rdfs:label ?l }") == [["177"]]
    (found,) = _ask(store, 'SELECT ?w { ?c rdfs:label "Somalia" ; geo:hasDefaultGeometry/geo:asWKT ?w }')
    somalia = shapely.from_wkt(found[0])
    assert somalia.is_valid and somalia.contains(shapely.Point(45.3, 2.5))


def test_districts_and_places(shared_data: Path) -> None:
    store = VectorStore()
    store.add(load_file(shared_data / "somalia-admin" / "Som_Admbnda_Adm2_UNDP.json", kind="District"))
    assert _ask(store, "SELECT (COUNT(?c) AS ?n) { ?c a feature:District }") == [["74"]]


def test_openstreetmap(shared_data: Path) -> None:
    store = VectorStore()
    store.add(load_file(shared_data / "osm-helsinki" / "test.osm.pbf"))
    counts = dict(_ask(store, "SELECT ?k (COUNT(?x) AS ?n) { ?x a ?k } GROUP BY ?k"))
    assert int(counts["https://w3id.org/deepcube/feature#Building"]) > 2100  # 2,219 tagged; some are cut off or parts
    kinds = Counter(
        parse_geometry(
            ox.Literal(text, datatype=ox.NamedNode("http://www.opengis.net/ont/geosparql#wktLiteral"))
        ).geom_type
        for (text,) in _ask(store, "SELECT ?w { ?x a feature:Road ; geo:hasGeometry/geo:asWKT ?w }")
    )
    assert kinds["LineString"] > kinds["Polygon"] + kinds["MultiPolygon"]


def test_shapefile_is_brought_to_degrees(shared_data: Path) -> None:
    store = VectorStore()
    store.add(load_file(shared_data / "egms-offida" / "clusters_offida.shp", kind="Scatterer"))
    rows = _ask(store, "SELECT ?w { ?x a feature:Scatterer ; geo:hasGeometry/geo:asWKT ?w }")
    points = [shapely.from_wkt(text) for (text,) in rows]
    assert len(points) == 197
    assert all(13 < point.x < 14.5 and 42 < point.y < 43.5 for point in points)  # Offida, Marche


def test_volcanoes(shared_data: Path) -> None:
    store = VectorStore()
    store.add(load_file(shared_data / "gvp-volcanoes" / "volcano.csv", kind="Volcano"))
    (row,) = _ask(store, 'SELECT ?w { ?x a feature:Volcano ; rdfs:label "Etna" ; geo:hasGeometry/geo:asWKT ?w }')
    assert shapely.from_wkt(row[0]).distance(shapely.Point(15.0, 37.75)) < 0.1


def test_rdf(tmp_path: Path) -> None:
    path = tmp_path / "a.ttl"
    path.write_text("<urn:a> <urn:b> 1 .")
    store = VectorStore()
    assert store.add(load_file(path)) == 1
    assert store.add(load_file(path, graph="urn:g")) == 1
    assert _ask(store, "SELECT ?o { GRAPH <urn:g> { ?s ?p ?o } }") == [["1"]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.ttl", "<urn:a> <urn:b>", "1"),
        ("a.json", "{", "Expecting"),
        ("a.xyz", "", "expected one of"),
        ("a.csv", "", "columns"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LoadError, match=said) as caught:
        list(load_file(path))
    assert name in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"nothing\.ttl"):
        list(load_file(tmp_path / "nothing.ttl"))
