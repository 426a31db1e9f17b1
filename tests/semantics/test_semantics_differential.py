"""Random queries over random small cubes and vector data: the virtual answer equals that over all triples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyoxigraph as ox
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.semantics import CubeSource, SemanticCube, VectorStore
from deepcube.semantics.functions import FUNCTIONS
from deepcube.semantics.vocabulary import PREFIXES
from tests.semantics.materialised import MAPPING, materialise, relate

_TIMES = np.array(["2020-06-30", "2020-07-01", "2020-07-16", "2020-08-01"], "M8[ns]")


def _cube(folder: Path, seed: int) -> xr.Dataset:
    """Write a simulated cube whose values are multiples of 1/8, so that sums are exact in any order."""
    random = np.random.default_rng(seed)
    shape = (4, 4, 5)

    def eighths(high: int, *size: int) -> np.ndarray:
        return random.integers(0, high, size) / 8

    ndvi = eighths(9, *shape).astype("f4")
    ndvi[random.random(shape) < 0.15] = np.nan
    lst = eighths(300, *shape)
    lst[random.random(shape) < 0.15] = np.nan
    land = random.integers(0, 5, shape[1:]).astype("i2")
    dataset = xr.Dataset(
        {
            "ndvi": (("time", "lat", "lon"), ndvi),
            "lst": (("time", "lat", "lon"), lst),
            "land": (("lat", "lon"), land),
        },
        {"time": _TIMES, "lat": [38.0, 37.5, 37.0, 36.5], "lon": [20.25, 20.5, 20.75, 21.0, 21.25]},
        {"simulated": "true"},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    encoding = {"ndvi": {"chunks": (2, 2, 3)}, "lst": {"chunks": (2, 2, 3)}}
    dataset.to_zarr(folder / "tiny.zarr", zarr_format=3, encoding=encoding, consolidated=False)
    (folder / "tiny.zarr.mapping.ttl").write_text(MAPPING)
    return dataset


def _features(seed: int) -> bytes:
    """Return Turtle of a few regions and places (simulated)."""
    random = np.random.default_rng(seed + 1)
    lines = ["@prefix ex: <http://example.org/> . @prefix geo: <http://www.opengis.net/ont/geosparql#> ."]
    for i in range(3):
        west, south = 20 + random.integers(0, 4) / 4, 36 + random.integers(0, 4) / 4
        east, north = west + random.integers(1, 4) / 4, south + random.integers(1, 5) / 4
        ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
        shape = f"geo:hasDefaultGeometry ex:rg{i} ; geo:hasGeometry ex:rg{i}"
        lines.append(
            f'ex:r{i} a ex:Region ; ex:name "r {i}" ; ex:level {random.integers(0, 4)} ; {shape} . '
            f'ex:rg{i} geo:asWKT "POLYGON(({ring}))"^^geo:wktLiteral .'
        )
    for i in range(4):
        x, y = 20 + random.integers(0, 10) / 8, 36 + random.integers(0, 18) / 8
        inside = f"ex:in ex:r{random.integers(0, 3)} ;" if random.random() < 0.7 else ""
        shape = f"geo:hasDefaultGeometry ex:hg{i} ; geo:hasGeometry ex:hg{i}"
        lines.append(
            f"ex:h{i} a ex:Hospital ; {inside} ex:beds {random.integers(0, 9) / 8} ; {shape} . "
            f'ex:hg{i} geo:asWKT "POINT({x} {y})"^^geo:wktLiteral .'
        )
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[SemanticCube, ox.Store]]:
    """A few pairs of a semantic cube and the store of all of its triples."""
    pairs = []
    for seed in range(3):
        folder = tmp_path_factory.mktemp(f"world{seed}")
        dataset = _cube(folder, seed)
        vector, oracle = VectorStore(), ox.Store()
        vector.store.load(_features(seed), ox.RdfFormat.TURTLE)
        oracle.load(_features(seed), ox.RdfFormat.TURTLE)
        oracle.extend(materialise(dataset))
        cube = SemanticCube([CubeSource(folder / "tiny.zarr")], vector)
        oracle.extend(quad for source in cube.cubes for quad in source.description())
        relate(oracle)
        pairs.append((cube, oracle))
    return pairs


CELL = "?c geo:hasGeometry/geo:asWKT ?w ."
AREA = "?c dcube:hasFootprint/geo:asWKT ?w ."
TINY = "https://w3id.org/deepcube/cube/tiny/main"
OF = "sosa:hasFeatureOfInterest ?c"
AT = f"{OF} ; sosa:resultTime ?t ; sosa:hasSimpleResult"
REGION = "?r a ex:Region ; geo:hasGeometry/geo:asWKT ?rw ."
HOSPITAL = "?h a ex:Hospital ; ex:beds ?b ; geo:hasGeometry/geo:asWKT ?hw ."

_cores = st.sampled_from(
    [
        f"?o sosa:observedProperty var:ndvi ; {AT} ?v .",
        f"?o sosa:observedProperty var:lst ; {AT} ?v .",
        "?o a dcube:SparseVegetation ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v .",
        "?o a ?k ; sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?v .",
        "?o sosa:observedProperty ?p ; sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?v .",
        "?o var:ndvi ?v ; var:lst ?l ; dcube:cell ?c ; dcube:time ?t .",
        "?o a qb:Observation ; qb:dataSet ?d ; dcube:cell ?c ; dcube:time ?t .",
        f"?o a dcube:Forest ; {OF} . ?q sosa:observedProperty var:ndvi ; {AT} ?v .",
        f"?o sosa:observedProperty var:ndvi ; sosa:phenomenonTime ?i ; {OF} ; sosa:hasSimpleResult ?v . "
        "?i time:inXSDDateTimeStamp ?t .",
        f"?o sosa:observedProperty var:ndvi ; {AT} ?v . ?q sosa:observedProperty var:lst ; {OF} ; sosa:resultTime ?u ; "
        "sosa:hasSimpleResult ?l . FILTER(?u > ?t && ?l < 12)",
    ]
)
_places = st.sampled_from(
    [
        "",
        "",
        f"{CELL} FILTER(geof:sfWithin(?w, 'POLYGON((20.3 36.6,21 36.6,21 37.6,20.3 37.6,20.3 36.6))'^^geo:wktLiteral))",
        f"{CELL} {REGION} FILTER(geof:sfWithin(?w, ?rw))",
        f"{CELL} {REGION} FILTER(geof:sfIntersects(?rw, ?w) && ?r != ex:r1)",
        f"{CELL} {REGION} FILTER(!geof:sfDisjoint(?w, ?rw))",
        f"{CELL} {REGION} FILTER(geof:sfDisjoint(?w, ?rw))",
        f"{CELL} {HOSPITAL} FILTER(geof:distance(?w, ?hw, uom:metre) < 40000)",
        f"{CELL} {HOSPITAL} FILTER(geof:distance(?w, ?hw, uom:metre) >= 90000)",
        f"{CELL} {HOSPITAL} FILTER(30000 >= geof:distance(?hw, ?w, uom:metre)) FILTER(?b > ?v)",
        "?r a ex:Region . ?c geo:sfWithin ?r .",
        "?r a ex:Region ; ex:name ?name ; geo:sfContains ?c .",
        "?c geo:sfWithin ex:r0 .",
        "?c ^geo:sfContains ex:r1 ; geo:sfDisjoint ex:r2 .",
        "?c geo:hasGeometry ?g . ?g geo:sfIntersects ?r . ?r a ex:Region ; ex:level ?level .",
        "?c dcube:hasFootprint ?g . ?g geo:sfOverlaps ?r . ?r a ex:Region .",
        "?c dcube:hasFootprint ?g . ?r a ex:Region ; geo:sfDisjoint|geo:rcc8tppi ?g .",
        "?c dcube:hasFootprint/geo:sfContains ?h . ?h a ex:Hospital ; ex:beds ?b .",
        "?c dcube:hasFootprint ?g . ?g geo:ehCoveredBy ex:rg1 .",
        "?h a ex:Hospital ; geo:sfWithin ?r . ?r a ex:Region . ?c geo:sfWithin ?r .",
        "?r a ex:Region FILTER NOT EXISTS { ?c geo:sfWithin ?r }",
        "VALUES ?r { ex:r0 ex:rg1 ex:none } OPTIONAL { ?c geo:sfWithin ?r . ?r ex:name ?name }",
        f"{AREA} {REGION} FILTER(geof:sfIntersects(?w, ?rw))",
        f"{AREA} {REGION} FILTER(geof:sfWithin(?w, ?rw) || geof:sfDisjoint(?rw, ?w))",
        f"{AREA} {REGION} FILTER(geof:sfTouches(?rw, ?w))",
        f"{AREA} {HOSPITAL} FILTER(geof:sfContains(?w, ?hw))",
        f"{AREA} {HOSPITAL} FILTER(geof:distance(?w, ?hw, uom:metre) < 20000)",
        f"{AREA} FILTER(geof:distance(?w, 'LINESTRING(20 36, 21 38)'^^geo:wktLiteral, uom:metre) <= 9000)",
        f"{AREA} BIND(geof:metricArea(?w) AS ?area) FILTER(?area > 1.2e9)",
        f"{CELL} {REGION} {HOSPITAL} ?h ex:in ?r FILTER(geof:sfWithin(?w, ?rw) && geof:sfWithin(?hw, ?rw))",
    ]
)
_tests = st.lists(
    st.sampled_from(
        [
            "FILTER(?v < 0.5)",
            "FILTER(?v >= 0.25)",
            "FILTER(?v = 0.5 || ?v > 20)",
            "FILTER(?v IN (0.125, 0.5, 3))",
            "FILTER(?v * 2 + 1 > 1.5)",
            "FILTER(!(?v > 0.5))",
            'FILTER(?t >= "2020-07-01T00:00:00Z"^^xsd:dateTime)',
            'FILTER(?t < "2020-07-16T00:00:00Z"^^xsd:dateTime || ?v < 0.5)',
            "FILTER(MONTH(?t) = 7)",
            "FILTER(?t - \"2020-07-01T00:00:00Z\"^^xsd:dateTime <= 'P15D'^^xsd:dayTimeDuration)",
            'FILTER(STRENDS(STR(?c), "1"))',
            "FILTER(BOUND(?v) && ?v / 2 < 8)",
            f"VALUES ?c {{ <{TINY}/cell/1/2> <{TINY}/cell/2/1> ex:none }}",
            f"FILTER(?v < 0.75 && NOT EXISTS {{ ?x sosa:observedProperty var:lst ; {OF} ; sosa:hasSimpleResult ?y "
            "FILTER(?y > 33) })",
            "FILTER NOT EXISTS { ?x a dcube:Forest ; sosa:hasFeatureOfInterest ?c }",
            "FILTER EXISTS { ?x sosa:observedProperty var:lst ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; "
            "sosa:hasSimpleResult ?y FILTER(?y > ?v + 10) }",
            "MINUS { ?x a dcube:ModerateVegetation ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t }",
            "OPTIONAL { ?x sosa:observedProperty var:lst ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; "
            "sosa:hasSimpleResult ?y FILTER(?y > 20 && ?v < 0.75) }",
            "OPTIONAL { ?h2 a ex:Hospital ; ex:beds ?v }",
            "OPTIONAL { ?c geo:hasGeometry ?g }",
            "{ ?c dcube:inGrid ?grid FILTER(?v < 0.5) } UNION { ?r2 a ex:Region ; ex:level ?level }",
            "{ SELECT ?c (MAX(?m) AS ?top) { ?z var:lst ?m ; dcube:cell ?c } GROUP BY ?c HAVING(MAX(?m) > 30) }",
            "BIND(IF(?v > 0.5, 'high', 'low') AS ?class) FILTER(?class = 'high')",
            "BIND(?v + 1 AS ?more) FILTER(?more < 1.75)",
            "?p rdfs:label ?label .",
        ]
    ),
    max_size=2,
    unique=True,
)
_shapes = st.sampled_from(
    [
        "SELECT * {{ {body} }}",
        "SELECT DISTINCT ?c {{ {body} }}",
        "SELECT ?t (COUNT(*) AS ?n) (AVG(?v) AS ?mean) {{ {body} }} GROUP BY ?t",
        "SELECT ?c (SUM(?v) AS ?s) (MIN(?v) + 0e0 AS ?lo) (MAX(?t) AS ?last) {{ {body} }} GROUP BY ?c "
        "HAVING(COUNT(?v) > 1)",
        "SELECT ?r ?h (COUNT(DISTINCT ?c) AS ?n) {{ {body} }} GROUP BY ?r ?h",
        "SELECT ?p ?k (COUNT(*) AS ?n) (MIN(?v) + 0e0 AS ?lo) {{ {body} }} GROUP BY ?p ?k",
        "SELECT (COUNT(*) AS ?n) {{ {body} }}",
        "SELECT (COUNT(?v) AS ?n) (SUM(?v) AS ?s) (COUNT(DISTINCT *) AS ?all) {{ {body} }}",
        "SELECT (MIN(?c) AS ?first) (AVG(?b) AS ?beds) {{ {body} }} GROUP BY ?h",
        "SELECT (YEAR(?t) AS ?year) (?v * 8 AS ?eighths) {{ {body} }}",
        "ASK {{ {body} }}",
        "CONSTRUCT {{ ?c ex:has ?v . ?c ex:at ?t . [] ex:of ?o }} WHERE {{ {body} }}",
    ]
)


def _solutions(answer: object, names: list[str] | None = None) -> Counter[tuple[str, ...]]:
    """Return solutions as a bag, blank nodes alike."""
    if names is None:
        names = [variable.value for variable in answer.variables]  # type: ignore[attr-defined]
        rows = [[row[name] for name in names] for row in answer]  # type: ignore[attr-defined]
    else:
        rows = list(answer)  # type: ignore[call-overload]
    order = np.argsort(names) if names else []
    shown = [["_:" if isinstance(term, ox.BlankNode) else str(term) for term in row] for row in rows]
    return Counter(tuple(row[i] for i in order) for row in shown)


def check(cube: SemanticCube, oracle: ox.Store, text: str) -> None:
    """Compare the virtual with the materialised answer of one query."""
    query = "PREFIX ex: <http://example.org/> " + text
    expected = oracle.query(query, prefixes=PREFIXES, custom_functions=FUNCTIONS)
    answer = cube.query(query)
    if isinstance(expected, ox.QueryBoolean):
        assert answer.truth == bool(expected), text
    elif isinstance(expected, ox.QueryTriples):
        assert answer.triples is not None

        def shown(triples: object) -> set[str]:
            return {"_:" if isinstance(t.subject, ox.BlankNode) else str(t) for t in triples}  # type: ignore[attr-defined]

        assert shown(answer.triples) == shown(expected), text
    else:
        assert sorted(answer.variables) == sorted(variable.value for variable in expected.variables), text
        assert _solutions(answer.rows, answer.variables) == _solutions(expected), text


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2),
    core=_cores,
    place=_places,
    tests=_tests,
    shape=_shapes,
)
def test_virtual_equals_materialised(
    worlds: list[tuple[SemanticCube, ox.Store]], seed: int, core: str, place: str, tests: list[str], shape: str
) -> None:
    check(*worlds[seed], shape.format(body=" ".join([core, place, *tests])))
