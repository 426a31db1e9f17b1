"""Answers, and their standard forms: SPARQL JSON, XML, CSV and TSV, GeoJSON, and triples."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyoxigraph as ox
import shapely

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import GeometryError
from deepcube.semantics.geometry import parse_geometry
from deepcube.semantics.session import Plan
from deepcube.semantics.terms import Term

Row = list[Term | None]
_PLAIN = v.XSD + "string"


@dataclass
class Answer:
    """The answer to a query; iterate it once.

    Attributes
    ----------
    variables : list of str
        Projected variables of a SELECT.
    rows : iterator of list of term or None
        Solutions of a SELECT, made while they are taken.
    truth : bool or None
        Answer of an ASK.
    triples : iterator of pyoxigraph.Triple or None
        Triples of a CONSTRUCT or DESCRIBE.
    plan : Plan
        How it was found.
    """

    variables: list[str] = field(default_factory=list)
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    truth: bool | None = None
    triples: Iterator[ox.Triple] | None = None
    plan: Plan = field(default_factory=Plan)

    @property
    def kind(self) -> str:
        """``"bindings"``, ``"boolean"`` or ``"triples"``."""
        if self.triples is not None:
            return "triples"
        return "bindings" if self.truth is None else "boolean"


def _json_term(term: Term) -> dict[str, str]:
    if isinstance(term, ox.NamedNode):
        return {"type": "uri", "value": term.value}
    if isinstance(term, ox.BlankNode):
        return {"type": "bnode", "value": term.value}
    if term.language:
        return {"type": "literal", "value": term.value, "xml:lang": term.language}
    if term.datatype.value == _PLAIN:
        return {"type": "literal", "value": term.value}
    return {"type": "literal", "value": term.value, "datatype": term.datatype.value}


def to_json(answer: Answer) -> Iterator[str]:
    """Yield the SPARQL 1.1 Query Results JSON Format."""
    if answer.truth is not None:
        yield json.dumps({"head": {}, "boolean": answer.truth})
        return
    yield json.dumps({"head": {"vars": answer.variables}})[:-1] + ', "results": {"bindings": ['
    for i, row in enumerate(answer.rows):
        pairs = zip(answer.variables, row, strict=True)
        bound = {name: _json_term(term) for name, term in pairs if term is not None}
        yield ("," if i else "") + "\n" + json.dumps(bound)
    yield "\n]}}\n"


def _xml_term(term: Term) -> str:
    text = escape(term.value)
    if isinstance(term, ox.NamedNode):
        return f"<uri>{text}</uri>"
    if isinstance(term, ox.BlankNode):
        return f"<bnode>{text}</bnode>"
    if term.language:
        return f"<literal xml:lang={quoteattr(term.language)}>{text}</literal>"
    if term.datatype.value == _PLAIN:
        return f"<literal>{text}</literal>"
    return f"<literal datatype={quoteattr(term.datatype.value)}>{text}</literal>"


def to_xml(answer: Answer) -> Iterator[str]:
    """Yield the SPARQL Query Results XML Format."""
    yield '<?xml version="1.0"?>\n<sparql xmlns="http://www.w3.org/2005/sparql-results#">\n'
    if answer.truth is not None:
        yield f"<head/><boolean>{str(answer.truth).lower()}</boolean>\n</sparql>\n"
        return
    yield (
        "<head>" + "".join(f"<variable name={quoteattr(name)}/>" for name in answer.variables) + "</head>\n<results>\n"
    )
    for row in answer.rows:
        pairs = zip(answer.variables, row, strict=True)
        cells = (f"<binding name={quoteattr(n)}>{_xml_term(t)}</binding>" for n, t in pairs if t is not None)
        yield f"<result>{''.join(cells)}</result>\n"
    yield "</results>\n</sparql>\n"


def _csv_term(term: Term | None) -> str:
    if term is None:
        return ""
    return f"_:{term.value}" if isinstance(term, ox.BlankNode) else term.value


def to_csv(answer: Answer) -> Iterator[str]:
    """Yield the SPARQL 1.1 Query Results CSV Format; an ASK as one column ``boolean``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    head, rows = _as_table(answer)
    writer.writerow(head)
    for row in rows:
        writer.writerow([_csv_term(term) for term in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _tsv_term(term: Term | None) -> str:
    if term is None:
        return ""
    if isinstance(term, ox.Literal) and not term.language:
        kind = term.datatype.value.removeprefix(v.XSD)
        if kind == "integer" or (kind == "decimal" and "." in term.value):
            return term.value
        if kind == "double" and "e" in term.value.lower():
            return term.value
    return str(term).replace("\t", "\\t")


def to_tsv(answer: Answer) -> Iterator[str]:
    """Yield the SPARQL 1.1 Query Results TSV Format; an ASK as one column ``boolean``."""
    head, rows = _as_table(answer)
    yield "\t".join(f"?{name}" for name in head) + "\n"
    for row in rows:
        yield "\t".join(map(_tsv_term, row)) + "\n"


def _as_table(answer: Answer) -> tuple[list[str], Iterable[Row]]:
    return (answer.variables, answer.rows) if answer.truth is None else (["boolean"], [[ox.Literal(answer.truth)]])


def to_geojson(answer: Answer) -> Iterator[str]:
    """Yield a GeoJSON feature collection: each solution is a feature, its first geometry literal the geometry."""
    yield '{"type": "FeatureCollection", "features": ['
    for i, row in enumerate(_as_table(answer)[1]):
        geometry, properties = None, {}
        for name, term in zip(answer.variables, row, strict=False):
            if term is None:
                continue
            shape = _shape(term) if geometry is None else None
            if shape is not None:
                geometry = shapely.geometry.mapping(shape)
            else:
                properties[name] = _plain(term)
        feature = {"type": "Feature", "geometry": geometry, "properties": properties}
        yield ("," if i else "") + "\n" + json.dumps(feature)
    yield "\n]}\n"


def _shape(term: Term) -> Any:
    kinds = (v.WKT_LITERAL, v.GML_LITERAL, v.GEOJSON_LITERAL)
    if not isinstance(term, ox.Literal) or term.datatype.value not in kinds:
        return None
    try:
        return parse_geometry(term)
    except GeometryError:
        return None


def _plain(term: Term) -> Any:
    """Return a term as a JSON value."""
    if isinstance(term, ox.Literal):
        kind = term.datatype.value.removeprefix(v.XSD)
        if kind == "integer":
            return int(term.value)
        if kind in ("double", "decimal", "float"):
            number = float(term.value)
            return number if number == number and abs(number) != float("inf") else term.value
        if kind == "boolean":
            return term.value == "true"
    return term.value


TABLE_FORMATS: dict[str, tuple[str, Callable[[Answer], Iterator[str]]]] = {
    "json": ("application/sparql-results+json", to_json),
    "xml": ("application/sparql-results+xml", to_xml),
    "csv": ("text/csv; charset=utf-8", to_csv),
    "tsv": ("text/tab-separated-values; charset=utf-8", to_tsv),
    "geojson": ("application/geo+json", to_geojson),
}
"""Forms of solutions and truth values by name: media type and writer."""

GRAPH_FORMATS: dict[str, tuple[str, ox.RdfFormat]] = {
    "ttl": ("text/turtle", ox.RdfFormat.TURTLE),
    "nt": ("application/n-triples", ox.RdfFormat.N_TRIPLES),
    "rdf": ("application/rdf+xml", ox.RdfFormat.RDF_XML),
    "jsonld": ("application/ld+json", ox.RdfFormat.JSON_LD),
}
"""Forms of triples by name: media type and format of pyoxigraph."""


def write_triples(triples: Iterable[ox.Triple], name: str) -> Iterator[str]:
    """Yield triples in one of :data:`GRAPH_FORMATS`; N-Triples while they are made, the others at once.

    Parameters
    ----------
    triples : iterable of pyoxigraph.Triple
        What is written.
    name : str
        Key of :data:`GRAPH_FORMATS`.
    """
    if name == "nt":
        for triple in triples:
            yield f"{triple} .\n"
        return
    written = ox.serialize(triples, format=GRAPH_FORMATS[name][1], prefixes=v.PREFIXES if name == "ttl" else None)
    yield (written or b"").decode()
