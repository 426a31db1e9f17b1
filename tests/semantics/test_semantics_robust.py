"""Malformed and hostile queries, bounds of what may be written out, and bounds of memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.semantics import Limits, SemanticCube, SemanticsError, UnboundedQueryError, UnsupportedQueryError
from deepcube.semantics.endpoint import EndpointConfig, build_app
from deepcube.semantics.questions import QUESTIONS, examples
from deepcube.semantics.workers import EngineConfig
from tests.semantics.serving import served
from tests.semantics.worked import write_world

_TEXT = """
{ } ( ) . ; , | ^ / * + ? ! = < > && || - " ' # \\ @ ^^ _: [] \0 é 𝔘 SELECT ASK CONSTRUCT DESCRIBE WHERE FILTER OPTIONAL
UNION MINUS EXISTS NOT BIND AS VALUES GRAPH GROUP BY HAVING ORDER LIMIT OFFSET DISTINCT COUNT(*) AVG(?v) UNDEF SERVICE
FROM NAMED BASE PREFIX ?o ?c ?v ?t a 1 -0.5 1e400 true 'x'@en 99999999999999999999 <urn:x> <> <relative>
sosa:hasSimpleResult sosa:hasFeatureOfInterest sosa:observedProperty var:fwi dcube:hasFootprint geo:sfWithin
geof:distance geo:hasGeometry/geo:asWKT dcube:ExtremeFireDanger sosa:resultTime xsd:dateTime uom:metre
"""
_PIECES = _TEXT.split()
ALLOWED = {200, 400, 413, 504}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_world(tmp_path_factory.mktemp("robust"))


@pytest.fixture(scope="module")
def cube(paths: tuple[Path, Path]) -> SemanticCube:
    return SemanticCube([paths[0]])


def _mutated(text: str, seed: int, count: int) -> str:
    """Return a query with pieces taken out, put in and swapped."""
    chance, words = random.Random(seed), text.split(" ")
    for _ in range(count):
        place, what = chance.randrange(len(words)), chance.random()
        if what < 0.4:
            words[place] = chance.choice(_PIECES)
        elif what < 0.7:
            words.insert(place, chance.choice(_PIECES))
        elif len(words) > 1:
            del words[place]
    return " ".join(words)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.builds(
            _mutated,
            st.sampled_from([text for _, text in QUESTIONS.values()]),
            st.integers(0, 1 << 30),
            st.integers(1, 4),
        ),
        st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join),
        st.text(max_size=60),
    )
)
def test_any_text_is_answered_or_refused_by_a_word_of_ours(cube: SemanticCube, text: str) -> None:
    """Whatever is asked, the engine answers or raises one of its own errors, and says something."""
    try:
        answer = cube.query(text, Limits(seconds=20))
        for _ in answer.triples if answer.triples is not None else answer.rows:
            pass
    except SemanticsError as error:
        assert str(error)


@pytest.fixture(scope="module")
def address(paths: tuple[Path, Path]) -> Iterator[str]:
    engine = EngineConfig(((str(paths[0]), None),), data=(str(paths[1]),))
    with served(build_app(EndpointConfig(engine, None, seconds=4))) as url:
        yield f"{url}/sparql"


def test_the_endpoint_never_fails_itself(address: str) -> None:
    """Malformed queries, bodies, parameters and headers are the client's faults, and the next query is answered."""
    chance = random.Random(0)
    texts = [text for _, text in QUESTIONS.values()]
    queries = [_mutated(chance.choice(texts), seed, 3) for seed in range(12)]
    queries += ["", " ", "\x00", "SELECT" * 1000, "{" * 5000, "ASK {" + "{" * 300 + "}" * 300 + "}", "#", "é" * 100]
    with httpx.Client(timeout=60) as client:
        for query in queries:
            assert client.post(address, data={"query": query}).status_code in ALLOWED, query
        body = b"\xff\xfe\x00"
        for headers, content, status in [
            ({"Content-Type": "application/sparql-query"}, body, 400),
            ({"Content-Type": "application/x-www-form-urlencoded"}, body, 400),
            ({"Content-Type": "text/nonsense"}, b"ASK {}", 415),
            ({"Content-Type": "application/sparql-query", "Accept": ";;;,q=x"}, b"ASK {}", 406),
            ({"Content-Type": "application/sparql-query"}, b"ASK {} #" + b"x" * 3_000_000, 413),
        ]:
            assert client.post(address, content=content, headers=headers).status_code == status
        assert (
            client.get(address, params={"query": "ASK {}", "timeout": "9" * 400, "format": "\x00"}).status_code == 200
        )
        assert client.request("PUT", address).status_code == 405
        assert client.post(address, data={"query": "ASK {}"}).json()["boolean"] is True


def _wide(folder: Path, variables: int, size: int) -> Path:
    """Write a simulated cube of several variables."""
    shape = (size, 40, 50)
    values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    dataset = xr.Dataset(
        {f"v{i}": (("time", "lat", "lon"), values + i) for i in range(variables)},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(size) * np.timedelta64(1, "D"),
            "lat": np.linspace(10, 9, 40),
            "lon": np.linspace(20, 21, 50),
        },
        {"simulated": "true"},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    dataset.to_zarr(folder / "wide.zarr", zarr_format=3, consolidated=False)
    return folder / "wide.zarr"


def test_bounds_of_variable_properties(tmp_path: Path) -> None:
    """docs/semantics.md: 64 ways to match a pattern, and so many distinct values written out as terms."""
    cube = SemanticCube([_wide(tmp_path, 9, 4)])
    of_any = (
        "sosa:observedProperty ?{0} ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?{0}v"
    )
    counted = f"SELECT ?p (COUNT(*) AS ?n) {{ ?o {of_any.format('p')} }} GROUP BY ?p"
    assert {int(row[1].value) for row in cube.query(counted).rows if row[1]} == {4 * 40 * 50}
    two = f"SELECT (COUNT(*) AS ?n) {{ ?a {of_any.format('p')} . ?b {of_any.format('q')} }}"
    with pytest.raises(UnsupportedQueryError, match="more than 64 ways"):  # 9 x 9
        cube.query(two)
    listed = f"SELECT ?o {{ ?o {of_any.format('p')} }}"
    assert sum(1 for _ in cube.query(listed).rows) == 9 * 4 * 40 * 50
    with pytest.raises(UnboundedQueryError, match="written out as terms"):
        list(cube.query(listed, Limits(tuples=1000)).rows)


def test_memory_of_joins_is_bounded(tmp_path: Path) -> None:
    """Joins that need more than they may spill to disk, or are refused; the answer is the same."""
    cube = SemanticCube([_wide(tmp_path, 2, 60)])
    query = """SELECT (COUNT(*) AS ?n) (SUM(?w - ?v) AS ?s) {
      ?a sosa:observedProperty var:v0 ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v .
      ?b sosa:observedProperty var:v1 ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?u ; sosa:hasSimpleResult ?w
      FILTER(?u > ?t) }"""

    def found(memory: str) -> list[str]:
        return [term.value for row in cube.query(query, Limits(memory=memory)).rows for term in row if term]

    pairs = 2000 * 60 * 59 // 2
    assert int(found("512MB")[0]) == pairs
    try:
        assert found("24MB") == found("512MB")
    except UnboundedQueryError as error:
        assert "24MB" in str(error)


def test_examples_fit_the_cube_that_is_asked(cube: SemanticCube, tmp_path: Path) -> None:
    """Every example of the query page has an answer; questions of other cubes are not offered."""
    offered = examples(cube)
    assert {title for title, _ in QUESTIONS.values()} <= {title for title, _ in offered}
    other = SemanticCube([_wide(tmp_path, 2, 3)])
    shown = examples(other)
    assert {title for title, _ in shown} & {title for title, _ in QUESTIONS.values()} == {QUESTIONS["railway"][0]}
    for title, text in shown[:5]:
        assert next(iter(other.query(text).rows), None) is not None, title
