"""Conformance of the SPARQL endpoint's engine: the W3C SPARQL 1.1 suite and the GeoSPARQL compliance benchmark.

``python -m benchmarks.semantics_suites FOLDER`` prints the scores by category and every failure with its reason, as
docs/semantics.md shows them; FOLDER holds ``w3c-sparql-tests`` and ``geosparql-benchmark``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyoxigraph as ox
import rdflib
import shapely
from rdflib.collection import Collection

from deepcube.semantics import QuerySyntaxError, SemanticCube, UnknownTermError, VectorStore
from deepcube.semantics.geometry import GeometryError, parse_geometry
from deepcube.semantics.results import to_csv, to_tsv

MF = rdflib.Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#")
QT = rdflib.Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-query#")
RS = rdflib.Namespace("http://www.w3.org/2001/sw/DataAccess/tests/result-set#")
FORMATS = {
    ".ttl": ox.RdfFormat.TURTLE,
    ".n3": ox.RdfFormat.TURTLE,
    ".rdf": ox.RdfFormat.RDF_XML,
    ".nt": ox.RdfFormat.N_TRIPLES,
    ".trig": ox.RdfFormat.TRIG,
}
LEFT_OUT = {
    "entailment",
    "service",
    "protocol",
    "http-rdf-update",
    "graph-store-protocol",
    "service-description",
    "syntax-fed",
}
"""Categories of other specifications than the query language: entailment regimes, federation, protocols, update."""

GEO_DATA = "http://www.opengis.net/ont/geosparql#"


@dataclass
class Score:
    """Tests passed and run, by category, and the reason of every failure."""

    passed: Counter[str] = field(default_factory=Counter)
    run: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, category: str, name: str, reason: str | None) -> None:
        """Count a test; None as a reason means that it passed."""
        self.run[category] += 1
        self.passed[category] += reason is None
        if reason is not None:
            self.failures[f"{category}: {name}"] = reason

    def table(self) -> Iterator[str]:
        """Yield the lines of a Markdown table."""
        yield "| category | passed | of |"
        yield "|---|---|---|"
        for category in sorted(self.run):
            yield f"| {category} | {self.passed[category]} | {self.run[category]} |"
        yield f"| **all** | **{self.passed.total()}** | **{self.run.total()}** |"


def w3c(folder: Path) -> Score:
    """Run the query tests (evaluation, syntax, result formats) of the W3C SPARQL 1.1 suite.

    Parameters
    ----------
    folder : pathlib.Path
        ``w3c-sparql-tests/sparql11``.
    """
    score = Score()
    for manifest in sorted(folder.glob("*/manifest.ttl")):
        category = manifest.parent.name
        if category in LEFT_OUT:
            continue
        graph = rdflib.Graph().parse(manifest, publicID=manifest.as_uri())
        for entries in graph.objects(None, MF.entries):
            for test in Collection(graph, entries):
                kind = str(graph.value(test, rdflib.RDF.type)).rsplit("#", maxsplit=1)[-1]
                name = str(graph.value(test, MF.name))
                if kind in ("PositiveSyntaxTest11", "NegativeSyntaxTest11"):
                    score.add(category, name, _syntax(graph, test, kind))
                elif kind in ("QueryEvaluationTest", "CSVResultFormatTest"):
                    score.add(category, name, _evaluation(graph, test))
    return score


def _file(iri: Any) -> Path:
    return Path(unquote(urlparse(str(iri)).path))


def _syntax(graph: rdflib.Graph, test: Any, kind: str) -> str | None:
    action = graph.value(test, MF.action)
    try:
        SemanticCube().query(_file(action).read_text(encoding="utf-8"), base=str(action))
    except UnknownTermError:
        pass  # well formed, though there is no such function
    except QuerySyntaxError as error:
        return None if kind.startswith("Negative") else f"refused: {str(error).splitlines()[0]}"
    except Exception:  # a query that is well formed may still fail without its data
        pass
    return None if kind.startswith("Positive") else "accepted, though it is to be refused"


def _evaluation(graph: rdflib.Graph, test: Any) -> str | None:
    action, result = graph.value(test, MF.action), _file(graph.value(test, MF.result))
    query = graph.value(action, QT.query)
    try:
        vector = VectorStore()
        for data in graph.objects(action, QT.data):
            vector.store.load(path=str(_file(data)), format=FORMATS[_file(data).suffix], base_iri=str(data))
        for data in graph.objects(action, QT.graphData):
            form = FORMATS[_file(data).suffix]
            vector.store.load(path=str(_file(data)), format=form, base_iri=str(data), to_graph=ox.NamedNode(str(data)))
        text = _file(query).read_text(encoding="utf-8")
        answer = SemanticCube(vector=vector).query(text, base=str(query))
        return _compared(answer, result)
    except Exception as error:  # whatever goes wrong is a failed test with this reason
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"


def _compared(answer: Any, result: Path) -> str | None:
    if answer.triples is not None:
        expected = _canonical(ox.parse(path=str(result), format=FORMATS[result.suffix], base_iri=result.as_uri()))
        return None if _canonical(answer.triples) == expected else "other triples"
    if result.suffix == ".csv":
        text = "".join(to_csv(answer)).replace("\r", "")
        return None if _lines(text) == _lines(result.read_text().replace("\r", "")) else "other CSV"
    if result.suffix == ".tsv":
        own = "".join(to_tsv(answer))
        mine = ox.parse_query_results(input=own.encode(), format=ox.QueryResultsFormat.TSV)
        theirs = ox.parse_query_results(path=str(result), format=ox.QueryResultsFormat.TSV)
        return None if _bag(mine) == _bag(theirs) else "other TSV"
    if result.suffix in (".ttl", ".rdf"):
        return _against_graph(answer, rdflib.Graph().parse(result))
    form = ox.QueryResultsFormat.XML if result.suffix == ".srx" else ox.QueryResultsFormat.JSON
    expected = ox.parse_query_results(path=str(result), format=form)
    if isinstance(expected, ox.QueryBoolean):
        return None if answer.truth == bool(expected) else "other truth value"
    names = sorted(variable.value for variable in expected.variables)
    if names != sorted(answer.variables):
        return f"variables {sorted(answer.variables)} for {names}"
    found = Counter(
        tuple(_value(dict(zip(answer.variables, row, strict=True))[n]) for n in names) for row in answer.rows
    )
    return None if found == _bag(expected) else "other solutions"


def _against_graph(answer: Any, graph: rdflib.Graph) -> str | None:
    """Compare with solutions written as RDF (the DAWG result set vocabulary)."""
    expected: Counter[Any] = Counter()
    names = sorted(str(name) for name in graph.objects(None, RS.resultVariable))
    for solution in graph.objects(None, RS.solution):
        row = {str(graph.value(b, RS.variable)): graph.value(b, RS.value) for b in graph.objects(solution, RS.binding)}
        expected[tuple("_:" if isinstance(row.get(n), rdflib.BNode) else str(row.get(n)) for n in names)] += 1
    found = Counter(
        tuple(
            "_:" if isinstance(term, ox.BlankNode) else "None" if term is None else term.value
            for term in (dict(zip(answer.variables, row, strict=True))[name] for name in names)
        )
        for row in answer.rows
    )
    return None if found == expected else "other solutions"


def _lines(text: str) -> list[str]:
    return sorted(re.sub(r"_:\w+", "_:", line) for line in text.strip().split("\n"))


def _bag(solutions: Any) -> Counter[Any]:
    names = sorted(variable.value for variable in solutions.variables)
    return Counter(tuple(_value(row[name]) for name in names) for row in solutions)


def _canonical(triples: Any) -> set[str]:
    dataset = ox.Dataset(ox.Quad(t.subject, t.predicate, t.object) for t in triples)
    dataset.canonicalize(ox.CanonicalizationAlgorithm.UNSTABLE)
    return set(map(str, dataset))


def _value(term: Any) -> Any:
    """Return what two terms have to share to count as the same answer: numbers by value, blank nodes alike."""
    if isinstance(term, ox.BlankNode):
        return "_:"
    if isinstance(term, ox.Literal):
        kind = term.datatype.value.rsplit("#", maxsplit=1)[-1]
        if kind in ("double", "decimal", "float", "integer"):
            return kind, round(float(term.value), 9)
        if kind == "boolean":
            return kind, term.value in ("1", "true")
        return term.value, kind, (term.language or "").lower()
    return None if term is None else str(term)


def geosparql(folder: Path, stated_first: bool = True) -> Score:
    """Run the GeoSPARQL compliance benchmark (Jovanovik, Homburg, Spasić 2021) on one store, as the endpoint has it.

    Parameters
    ----------
    folder : pathlib.Path
        ``geosparql-benchmark``.
    stated_first : bool
        The engine's configuration, the same for all queries. The suite wants stated relations alone in requirements 4
        to 6 and computed ones in 28 to 30 over the same data, so that no configuration passes both.
    """
    vector = VectorStore()
    vector.store.load(
        path=str(folder / "gsb_dataset" / "dataset.rdf"),
        format=ox.RdfFormat.RDF_XML,
        base_iri="http://example.org/ApplicationSchema",
    )
    cube, score = SemanticCube(vector=vector, stated_first=stated_first), Score()
    for query in sorted((folder / "gsb_queries").glob("query-r*.rq")):
        number = re.match(r"query-r(\d+)", query.name)
        assert number is not None
        answers = [folder / "gsb_answers" / f"{query.stem}.srx"]
        answers += sorted((folder / "gsb_answers").glob(f"{query.stem}-alternative-*.srx"))
        try:
            answer = cube.query(query.read_text(encoding="utf-8"))
            rows = [list(row) for row in answer.rows]
            found = Counter(tuple(map(_place, row)) for row in rows)
            expected = [_expected(path, answer.variables) for path in answers]
            reason = None if found in expected else f"got {str(rows)[:110]}"
        except Exception as error:  # whatever goes wrong is a failed test with this reason
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        score.add(f"requirement {number.group(1)}", query.stem, reason)
    return score


def _expected(path: Path, names: list[str]) -> Counter[Any]:
    """Read an expected answer; the suite writes literals as CDATA, which the parser does not take."""
    text = re.sub(
        r"<!\[CDATA\[(.*?)\]\]>",
        lambda match: match.group(1).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        path.read_text(encoding="utf-8"),
        flags=re.S,
    )
    solutions: Any = ox.parse_query_results(input=text.encode(), format=ox.QueryResultsFormat.XML)
    own = [variable.value for variable in solutions.variables]
    order = names if set(own) == set(names) else own
    return Counter(tuple(_place(row[name]) for name in order) for row in solutions)


def _place(term: Any) -> Any:
    """Return what two terms have to share to count as the same: geometries by shape within 1e-9 degrees."""
    if isinstance(term, ox.Literal):
        kind = term.datatype.value
        if kind.startswith(GEO_DATA):
            try:
                shape = shapely.set_precision(parse_geometry(term), 1e-9)
                return kind, shapely.normalize(shape).wkt
            except GeometryError:
                return kind, term.value
        if kind.endswith("boolean"):
            return term.value in ("1", "true")
        if kind.rsplit("#", maxsplit=1)[-1] in ("double", "decimal", "float", "integer", "int"):
            return float(f"{float(term.value):.4g}")
        return kind, term.value
    return "_:" if isinstance(term, ox.BlankNode) else None if term is None else term.value


def main() -> None:
    """Print the scores and the failures."""
    folder = Path(sys.argv[1])
    for title, score in (
        ("W3C SPARQL 1.1", w3c(folder / "w3c-sparql-tests" / "sparql11")),
        ("GeoSPARQL compliance benchmark, stated first", geosparql(folder / "geosparql-benchmark")),
        ("GeoSPARQL compliance benchmark, all computed", geosparql(folder / "geosparql-benchmark", False)),
    ):
        print(f"## {title}\n")
        print("\n".join(score.table()))
        print("\nfailures:\n")
        for name, reason in score.failures.items():
            print(f"- {name}: {reason}")
        print()


if __name__ == "__main__":
    main()
