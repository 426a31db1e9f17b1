"""Linked data from files: RDF, GeoJSON, TopoJSON (Natural Earth), shapefiles, OpenStreetMap extracts, CSV, data frames.

Every feature gets an IRI, its fields as properties of the ``feature:`` namespace (``osmkey:`` for tags of
OpenStreetMap), a label, and a geometry in longitude and latitude under both ``geo:hasGeometry`` and
``geo:hasDefaultGeometry``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyoxigraph as ox
import shapely

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import LoadError
from deepcube.semantics.feature_triples import Feature, feature_triples, frame_features, plain, slug
from deepcube.semantics.openstreetmap import osm_triples

_RDF = {
    ".ttl": ox.RdfFormat.TURTLE,
    ".nt": ox.RdfFormat.N_TRIPLES,
    ".nq": ox.RdfFormat.N_QUADS,
    ".trig": ox.RdfFormat.TRIG,
    ".rdf": ox.RdfFormat.RDF_XML,
    ".owl": ox.RdfFormat.RDF_XML,
    ".xml": ox.RdfFormat.RDF_XML,
    ".jsonld": ox.RdfFormat.JSON_LD,
    ".n3": ox.RdfFormat.N3,
}
_TABLES = (".shp", ".gpkg", ".fgb", ".kml")


def load_file(
    path: Path,
    kind: str | None = None,
    name: str | None = None,
    graph: str | None = None,
    left_out: Counter[str] | None = None,
) -> Iterator[ox.Quad]:
    """Yield the quads of a file.

    Parameters
    ----------
    path : pathlib.Path
        RDF (``.ttl``, ``.nt``, ``.nq``, ``.trig``, ``.rdf``, ``.owl``, ``.jsonld``), GeoJSON or TopoJSON (``.geojson``,
        ``.json``), a shapefile or GeoPackage, an OpenStreetMap extract (``.osm.pbf``, ``.osm``), or a CSV file with
        longitude and latitude.
    kind : str, optional
        What its features are, such as ``"Hospital"``: they get the type ``feature:Hospital``.
    name : str, optional
        Name of the data set in the IRIs of its features; by default the name of the file.
    graph : str, optional
        IRI of the named graph that they belong to; by default the default graph.
    left_out : collections.Counter, optional
        Counts by reason what an OpenStreetMap extract does not hold whole and what is therefore not yielded.

    Raises
    ------
    LoadError
        If the file cannot be read; the message says where and why.
    """
    if not path.is_file():
        raise LoadError(f"There is no file at {path}.")
    name = slug(name or path.name.split(".")[0])
    where = ox.DefaultGraph() if graph is None else ox.NamedNode(graph)
    suffix = path.suffix.lower()
    try:
        if suffix in _RDF:
            base = v.FEATURE_BASE + name
            for quad in ox.parse(path=str(path), format=_RDF[suffix], base_iri=base):
                yield quad if graph is None else ox.Quad(quad.subject, quad.predicate, quad.object, where)
            return
        for subject, predicate, value in _triples(
            path, suffix, name, kind, Counter() if left_out is None else left_out
        ):
            yield ox.Quad(subject, predicate, value, where)
    except (SyntaxError, ValueError, KeyError, OSError, RuntimeError, UnicodeDecodeError) as error:
        raise LoadError(f"{path} cannot be read: {error}.") from error


def _triples(
    path: Path, suffix: str, name: str, kind: str | None, left_out: Counter[str]
) -> Iterator[tuple[Any, Any, Any]]:
    if suffix in (".geojson", ".json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        features = _topojson(document) if document.get("type") == "Topology" else _geojson(document)
        yield from feature_triples(features, name, kind)
    elif suffix in _TABLES:
        yield from feature_triples(_table(path), name, kind)
    elif suffix in (".pbf", ".osm"):
        yield from osm_triples(path, left_out)
    elif suffix == ".csv":
        import pandas as pd

        yield from feature_triples(frame_features(pd.read_csv(path, encoding_errors="replace")), name, kind)
    else:
        known = ", ".join([*_RDF, ".geojson", ".json", *_TABLES, ".osm.pbf", ".csv"])
        raise LoadError(f"{path} ends in {suffix!r}; expected one of {known}.")


def _geojson(document: Mapping[str, Any]) -> Iterator[Feature]:
    features = document["features"] if document.get("type") == "FeatureCollection" else [document]
    for feature in features:
        held = feature.get("geometry")
        geometry = shapely.geometry.shape(held) if held else None
        yield feature.get("id"), feature.get("properties") or {}, geometry


def _topojson(document: Mapping[str, Any]) -> Iterator[Feature]:
    """Yield the features of all objects of a TopoJSON topology (TopoJSON 1.0, section 2)."""
    scale, translate = np.ones(2), np.zeros(2)
    arcs = [np.array(arc, dtype=np.float64)[:, :2] for arc in document["arcs"]]
    if "transform" in document:
        scale, translate = np.array(document["transform"]["scale"]), np.array(document["transform"]["translate"])
        arcs = [np.cumsum(arc, axis=0) * scale + translate for arc in arcs]

    def line(indices: list[int]) -> list[tuple[float, float]]:
        points: list[Any] = []
        for index in indices:
            arc = arcs[index] if index >= 0 else arcs[~index][::-1]
            points += arc[1 if points else 0 :].tolist()
        return points

    def shape(item: Mapping[str, Any]) -> Any:
        kind, held = item.get("type"), item.get("arcs") or []
        if kind == "Polygon":
            return shapely.make_valid(shapely.Polygon(line(held[0]), [line(hole) for hole in held[1:]]))
        if kind == "MultiPolygon":
            parts = [shapely.make_valid(shapely.Polygon(line(p[0]), [line(h) for h in p[1:]])) for p in held]
            return shapely.union_all(parts)
        if kind == "LineString":
            return shapely.LineString(line(held))
        if kind == "MultiLineString":
            return shapely.MultiLineString([line(part) for part in held])
        if kind == "Point":
            return shapely.Point(np.array(item["coordinates"]) * scale + translate)
        return None

    for title, item in document["objects"].items():
        members = item["geometries"] if item.get("type") == "GeometryCollection" else [item]
        for number, member in enumerate(members):
            identifier = member.get("id")
            own = f"{title}-{number if identifier is None else identifier}"
            yield own, member.get("properties") or {}, shape(member)


def _table(path: Path) -> Iterator[Feature]:
    import pyogrio
    import pyproj

    meta, _, geometries, columns = pyogrio.raw.read(str(path))
    fields, crs = [str(name) for name in meta["fields"]], meta["crs"]
    shapes = shapely.from_wkb(geometries)
    if crs is not None and not pyproj.CRS.from_user_input(crs).is_geographic:
        there = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
        shapes = shapely.transform(shapes, lambda p: np.column_stack(there.transform(p[:, 0], p[:, 1])))
    for number, shape in enumerate(shapes):
        held = {name: plain(column[number]) for name, column in zip(fields, columns, strict=True)}
        yield str(number), held, shape
