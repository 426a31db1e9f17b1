"""Refusals, plans, reads that grow with what is touched, statistics, mappings and bad input."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pyoxigraph as ox
import pytest
import xarray as xr

from deepcube.semantics import (
    CubeSource,
    GeometryError,
    Interpretation,
    Limits,
    MappingError,
    QueryStoppedError,
    QuerySyntaxError,
    SemanticCube,
    Stop,
    UnboundedQueryError,
    UnknownTermError,
    UnsupportedQueryError,
    VectorStore,
    read_mapping,
    write_mapping,
)
from deepcube.semantics.geometry import distance, parse_geometry
from deepcube.semantics.reading import _compared
from deepcube.semantics.statistics import compute_statistics, write_statistics
from deepcube.semantics.vocabulary import WKT_LITERAL

ALL = "SELECT (COUNT(*) AS ?n) { ?o sosa:observedProperty var:ndvi ; sosa:hasSimpleResult ?v "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A simulated cube of 40 x 20 x 30 whose value grows with time."""
    values = np.broadcast_to(np.arange(40, dtype="f4")[:, None, None], (40, 20, 30)) / 40
    dataset = xr.Dataset(
        {"ndvi": (("time", "lat", "lon"), values.copy())},
        {"time": np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")}
        | {"lat": np.linspace(10, 9, 20), "lon": np.linspace(20, 21, 30)},
        {"simulated": "true"},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    dataset.to_zarr(tmp_path / "c.zarr", zarr_format=3, consolidated=False, encoding={"ndvi": {"chunks": (10, 10, 10)}})
    return tmp_path / "c.zarr"


def _count(cube: SemanticCube, query: str, **options: object) -> tuple[int, object]:
    answer = cube.query(query, **options)  # type: ignore[arg-type]
    ((term,),) = answer.rows
    assert term is not None
    return int(term.value), answer.plan.reads[0]


def test_reads_only_the_chunks_that_a_question_touches(path: Path) -> None:
    cube = SemanticCube([path])
    found, read = _count(
        cube,
        ALL + "; sosa:resultTime ?t ; sosa:hasFeatureOfInterest ?c . ?c geo:hasGeometry/geo:asWKT ?w "
        'FILTER(?t < "2020-01-06T00:00:00Z"^^xsd:dateTime) '
        "FILTER(geof:sfWithin(?w, 'POLYGON((20 9.9, 20.1 9.9, 20.1 10.1, 20 10.1, 20 9.9))'^^geo:wktLiteral)) }",
    )
    lat, lon = np.linspace(10, 9, 20), np.linspace(20, 21, 30)
    inside = int(((lat > 9.9) & (lat < 10.1)).sum() * ((lon > 20) & (lon < 20.1)).sum())
    assert found == 5 * inside
    assert (read.chunks_read, read.chunks, read.cells) == (1, 24, 5 * inside)  # type: ignore[attr-defined]


def test_statistics_spare_chunks_and_go_stale(path: Path) -> None:
    source = CubeSource(path)
    (variable,) = source.variables.values()
    write_statistics(source.path, "main", "ndvi", variable.array, compute_statistics(variable.array))
    query = ALL + "FILTER(?v >= 0.75) }"
    found, read = _count(SemanticCube([path]), query)
    assert found == 10 * 600 and read.chunks_read == 6  # type: ignore[attr-defined]
    array = xr.open_zarr(path, consolidated=False).load()
    array["ndvi"][0] = 1.0
    time.sleep(0.01)
    array.drop_encoding().to_zarr(path, mode="r+", consolidated=False)
    found, read = _count(SemanticCube([path]), query)
    assert found == 11 * 600 and read.chunks_read == 24  # type: ignore[attr-defined]


def test_explain_reads_nothing(path: Path) -> None:
    answer = SemanticCube([path]).query(ALL + "FILTER(?v > 0.5) }", explain=True)
    assert [term.value for (term,) in answer.rows if term] == ["0"]
    assert "chunks 24 of 24" in answer.plan.text() and "?v > " in answer.plan.text()


def test_unbounded_queries_are_refused_with_an_estimate(path: Path) -> None:
    cube, few = SemanticCube([path]), Limits(cells=10_000)
    with pytest.raises(UnboundedQueryError, match="24,000 values") as caught:
        cube.query(ALL + "}", few)
    assert caught.value.cells == 24_000
    assert _count(cube, ALL + "}", limits=Limits(cells=10_000, force=True))[0] == 24_000


def test_time_limit_and_cancellation(path: Path) -> None:
    cube = SemanticCube([path])
    pairs = "SELECT (COUNT(*) AS ?n) { ?o sosa:observedProperty var:ndvi ; sosa:hasSimpleResult ?v . "
    pairs += "?p sosa:observedProperty var:ndvi ; sosa:hasSimpleResult ?w FILTER(?v * ?w + ?v > 1e9) }"
    with pytest.raises(QueryStoppedError, match="longer than"):
        list(cube.query(pairs, Limits(seconds=0.2)).rows)
    stop = Stop()
    threading.Timer(0.2, stop.cancel).start()
    with pytest.raises(QueryStoppedError, match="cancelled"):
        list(cube.query(pairs, stop=stop).rows)


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ("SELECT * {\n  ?a ?b }", QuerySyntaxError, "line 2, column"),
        ("SELECT * { ?a soza:observedProperty ?b }", UnknownTermError, "did you mean 'sosa'"),
        ("SELECT * { ?a sosa:observedProperty var:ndvy }", UnknownTermError, "did you mean 'ndvi'"),
        ("SELECT * { ?a a dcube:Cel }", UnknownTermError, "did you mean 'Cell'"),
        ("SELECT * { ?a geo:hasGeometry ?b FILTER(geof:sfWithn(?a, ?b)) }", UnknownTermError, "sfWithin"),
        ("SELECT * { ?s ?p ?o }", UnsupportedQueryError, "variable predicate"),
        ("SELECT * { ?s a ?o }", UnsupportedQueryError, "type of"),
        ("SELECT * { ?o sosa:hasSimpleResult ?v SERVICE <urn:x> { ?a ?b ?v } }", UnsupportedQueryError, "SERVICE"),
        ("DESCRIBE ?o { ?o sosa:hasSimpleResult ?v }", UnsupportedQueryError, "DESCRIBE"),
        (
            "SELECT * { ?cell geo:sfWithin ?a . ?o sosa:hasFeatureOfInterest ?cell ; sosa:hasSimpleResult ?v }",
            UnsupportedQueryError,
            "may be any cell",
        ),
        ("SELECT * FROM <urn:g> { ?o sosa:hasSimpleResult ?v }", UnsupportedQueryError, "FROM"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(path: Path, query: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        list(SemanticCube([path]).query(query).rows)


def test_linked_observations_beside_a_cube_are_refused(path: Path) -> None:
    vector = VectorStore()
    vector.store.load(b"<urn:o> <http://www.w3.org/ns/sosa/hasSimpleResult> 1 .", ox.RdfFormat.TURTLE)
    with pytest.raises(UnsupportedQueryError, match="named graph"):
        SemanticCube([path], vector).query(ALL + "}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@prefix dcube: <https://w3id.org/deepcube#> .\n<urn:m> a dcube:CubeMapping", "line 2"),
        ("<urn:m> a <https://w3id.org/deepcube#CubeMapping> .", "at least one dcube:variable"),
        (
            "@prefix d: <https://w3id.org/deepcube#> .\n<urn:m> a d:CubeMapping ;\n d:variabel [ d:name 'x' ] .",
            "line 3: there is no dcube:variabel; did you mean 'variable'",
        ),
        (
            "@prefix d: <https://w3id.org/deepcube#> .\n<urn:m> a d:CubeMapping ;\n"
            " d:variable [ d:variableName 'ndvi' ; d:property <urn:n> ] .\n"
            "<urn:Low> a d:Interpretation ; d:interprets <urn:n> .",
            "line 4.*has no condition",
        ),
    ],
)
def test_broken_mappings_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.ttl").write_text(text)
    with pytest.raises(MappingError, match=f"(?s){said}"):
        read_mapping(tmp_path / "m.ttl", "cube")


def test_mapping_of_a_missing_variable(path: Path) -> None:
    text = "@prefix d: <https://w3id.org/deepcube#> . <urn:m> a d:CubeMapping ; d:variable [ d:variableName 'ndwi' ; "
    path.with_name("c.zarr.mapping.ttl").write_text(text + "d:property <urn:n> ] .")
    with pytest.raises(MappingError, match="did you mean 'ndvi'"):
        CubeSource(path)


def test_mapping_round_trip(path: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    rule = Interpretation("urn:Low", "https://w3id.org/deepcube/variable#ndvi", (("<", 0.2),), (0.1, 0.15), "low")
    mapping = replace(CubeSource(path).mapping, interpretations=(rule,))
    (tmp_path / "m.ttl").write_text(write_mapping(mapping))
    assert read_mapping(tmp_path / "m.ttl", "c") == mapping


def test_invalid_geometry_is_named_and_matches_nothing(path: Path) -> None:
    broken = ox.Literal("POLYGON((0 0, 1", datatype=ox.NamedNode(WKT_LITERAL))
    with pytest.raises(GeometryError, match="POLYGON"):
        parse_geometry(broken)
    query = ALL + "; sosa:hasFeatureOfInterest ?c . ?c geo:hasGeometry/geo:asWKT ?w "
    assert _count(SemanticCube([path]), query + f"FILTER(geof:sfWithin(?w, {broken})) }}")[0] == 0


def test_distance_follows_the_sphere() -> None:
    """A degree of a meridian is the same everywhere, one of a parallel shrinks with the cosine of the latitude."""

    def at(text: str) -> object:
        return parse_geometry(ox.Literal(text, datatype=ox.NamedNode(WKT_LITERAL)))

    degree = 2 * np.pi * 6371008.7714 / 360
    assert distance(at("POINT(5 60)"), at("POINT(5 61)")) == pytest.approx(degree)
    line = at("LINESTRING(5 59.9, 5 60.1)")
    assert distance(at("POINT(5.01 60)"), line) == pytest.approx(0.01 * degree / 2, rel=1e-6)
    assert distance(line, at("POINT(5 60)")) == 0


def test_float32_values_are_compared_as_doubles() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.random(2000, dtype="f4"), np.array([0.2, 0.25, np.nan, 0.3], "f4")])
    for constant in (0.2, 0.25, float(np.float32(0.3)), 0.1 + 0.2):
        for sign, function in (
            ("<", np.less),
            ("<=", np.less_equal),
            (">", np.greater),
            (">=", np.greater_equal),
            ("=", np.equal),
        ):
            assert (_compared(values, sign, constant) == function(values.astype("f8"), constant)).all()


def test_a_relative_path_reads_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert _count(SemanticCube([path.name]), ALL + "}")[0] == 24_000
