"""Linked data from real files of every kind, and files that are none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyoxigraph as ox
import pytest
import shapely

from deepcube.semantics import LoadError, SemanticCube, VectorStore
from deepcube.semantics.geometry import parse_geometry
from deepcube.semantics.loading import load_file
from deepcube.semantics.openstreetmap import CUT_OFF


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
    """What the extract holds whole is loaded, and the rest is counted: an independent reading of it says which."""
    import osmium

    path, store, left_out = shared_data / "osm-helsinki" / "test.osm.pbf", VectorStore(), Counter[str]()
    store.add(load_file(path, left_out=left_out))
    whole, cut, nodes = set(), set(), set()
    for item in osmium.FileProcessor(str(path)):
        if item.is_node():
            nodes.add(item.id)
        elif item.is_way() and "building" in item.tags:
            (whole if all(node.ref in nodes for node in item.nodes) else cut).add(item.id)
    assert (len(whole), len(cut)) == (2171, 48)  # 2,219 tagged; 48 at the edge, whose outline the extract lacks
    loaded = _ask(store, "SELECT DISTINCT ?x { ?x a feature:Building }")
    assert {int(iri.rsplit("/", 1)[1]) for (iri,) in loaded} == whole
    assert {CUT_OFF["area"]: 74, CUT_OFF["line"]: 34, CUT_OFF["other"]: 5} == dict(left_out)  # docs/semantics.md
    kinds = Counter(
        parse_geometry(
            ox.Literal(text, datatype=ox.NamedNode("http://www.opengis.net/ont/geosparql#wktLiteral"))
        ).geom_type
        for (text,) in _ask(store, "SELECT ?w { ?x a feature:Road ; geo:hasGeometry/geo:asWKT ?w }")
    )
    assert kinds["LineString"] > kinds["Polygon"] + kinds["MultiPolygon"]


def test_kinds_of_openstreetmap(shared_data: Path) -> None:
    """Signals are no railways and squares no settlements, and relations are areas."""
    store = VectorStore()
    store.add(load_file(shared_data / "osm-helsinki" / "Helsinki.osm.pbf"))
    tracks = _ask(store, "SELECT DISTINCT ?k { ?x a feature:Railway ; osmkey:railway ?k } ORDER BY ?k")
    assert [kind for (kind,) in tracks] == ["rail", "subway", "tram"]
    places = _ask(store, "SELECT DISTINCT ?k { ?x a feature:Settlement ; osmkey:place ?k } ORDER BY ?k")
    assert [kind for (kind,) in places] == ["city", "neighbourhood", "suburb"]
    areas = _ask(store, 'SELECT ?x { ?x a feature:Building FILTER(CONTAINS(STR(?x), "/relation/")) }')
    assert len(areas) == 61  # 67 relations, 6 of them cut off


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


def test_relations_of_a_whole_extract_are_asked_of_few(shared_data: Path) -> None:
    """Buildings in a suburb among 12,000 things: what the query says of both sides keeps the pairs few."""
    store = VectorStore()
    store.add(load_file(shared_data / "osm-helsinki" / "Helsinki.osm.pbf"))
    query = """SELECT ?pub ?block { ?pub osmkey:amenity "pub" ; geo:sfWithin ?block .
      ?block osmkey:building "retail" }"""
    found = {(row[0].value, row[1].value) for row in SemanticCube([], store).query(query).rows if row[0] and row[1]}

    def shapes(key: str, value: str) -> list[tuple[str, shapely.Geometry]]:
        rows = _ask(store, f'SELECT ?x ?w {{ ?x osmkey:{key} "{value}" ; geo:hasGeometry/geo:asWKT ?w }}')
        return [(iri, shapely.from_wkt(text)) for iri, text in rows]

    pubs, blocks = shapes("amenity", "pub"), shapes("building", "retail")
    assert found == {(pub, block) for pub, place in pubs for block, area in blocks if place.within(area)} != set()
