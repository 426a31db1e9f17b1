"""The triples that a small cube stands for, all of them, written from the definition in docs/semantics.md.

Reads with xarray only: it shares no code with the engine that it is the oracle of.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import pyoxigraph as ox
import shapely
import xarray as xr

SOSA = "http://www.w3.org/ns/sosa/"
GEO = "http://www.opengis.net/ont/geosparql#"
QB = "http://purl.org/linked-data/cube#"
TIME = "http://www.w3.org/2006/time#"
XSD = "http://www.w3.org/2001/XMLSchema#"
DCUBE = "https://w3id.org/deepcube#"
VAR = "https://w3id.org/deepcube/variable#"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"

RULES = {
    DCUBE + "SparseVegetation": ("ndvi", lambda value: value < 0.25),
    DCUBE + "ModerateVegetation": ("ndvi", lambda value: 0.25 <= value <= 0.625),
    DCUBE + "Forest": ("land", lambda value: value in (1, 3)),
}
MAPPING = """
@prefix dcube: <https://w3id.org/deepcube#> .
@prefix var: <https://w3id.org/deepcube/variable#> .
<urn:mapping> a dcube:CubeMapping ; dcube:name "tiny" ;
    dcube:variable [ dcube:variableName "ndvi" ; dcube:property var:ndvi ] ,
        [ dcube:variableName "lst" ; dcube:property var:lst ] ,
        [ dcube:variableName "land" ; dcube:property var:land ] .
dcube:SparseVegetation a dcube:Interpretation ; dcube:interprets var:ndvi ; dcube:lessThan 0.25 .
dcube:ModerateVegetation a dcube:Interpretation ; dcube:interprets var:ndvi ; dcube:atLeast 0.25 ; dcube:atMost 0.625 .
dcube:Forest a dcube:Interpretation ; dcube:interprets var:land ; dcube:oneOf ( 1 3 ) .
"""
"""The mapping that the rules above are written a second time from."""


RELATIONS = {
    "sfWithin": shapely.within,
    "sfContains": shapely.contains,
    "sfIntersects": shapely.intersects,
    "sfDisjoint": shapely.disjoint,
    "sfOverlaps": shapely.overlaps,
    "ehCoveredBy": lambda a, b: shapely.relate_pattern(a, b, "TFF*TFT**"),
    "rcc8tppi": lambda a, b: shapely.relate_pattern(a, b, "TTTFTTFFT"),
}
"""Relations that :func:`relate` writes out."""


def footprint(dataset: xr.Dataset, y: int, x: int) -> str:
    """Return the polygon between edges midway to the next centres, from its least corner counter-clockwise."""

    def edges(axis: list[float], i: int) -> list[float]:
        middles = [(a + b) / 2 for a, b in itertools.pairwise(axis)]
        middles = [axis[0] - (middles[0] - axis[0]), *middles, axis[-1] + (axis[-1] - middles[-1])]
        return sorted(middles[i : i + 2])

    south, north = edges(dataset["lat"].to_numpy().tolist(), y)
    west, east = edges(dataset["lon"].to_numpy().tolist(), x)
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return f"POLYGON(({', '.join(f'{a!r} {b!r}' for a, b in ring)}))"


def relate(store: ox.Store) -> None:
    """Write out every relation between all things with a geometry: features by default ones, geometries by their own.

    Features of the test's linked data have ``geo:hasGeometry`` alone and stand in no relation; those that shall have
    ``geo:hasDefaultGeometry``.
    """
    shapes: dict[ox.NamedNode, list[object]] = {}
    for quad in store.quads_for_pattern(None, ox.NamedNode(GEO + "asWKT"), None):
        shape = shapely.from_wkt(quad.object.value)
        shapes.setdefault(quad.subject, []).append(shape)
        for held in store.quads_for_pattern(None, ox.NamedNode(GEO + "hasDefaultGeometry"), quad.subject):
            shapes.setdefault(held.subject, []).append(shape)
    owners = [owner for owner, held in shapes.items() for _ in held]
    geometries = np.array([shape for held in shapes.values() for shape in held], dtype=object)
    for name, relation in RELATIONS.items():
        for i, j in zip(*np.nonzero(relation(geometries[:, None], geometries[None])), strict=True):
            store.add(ox.Quad(owners[i], ox.NamedNode(GEO + name), owners[j]))


def materialise(dataset: xr.Dataset, base: str = "https://w3id.org/deepcube/cube/tiny/main") -> list[ox.Quad]:
    """Return the triples of a dataset with dimensions time, lat and lon."""
    quads: list[ox.Quad] = []

    def add(subject: str, predicate: str, value: object, datatype: str | None = None) -> None:
        if isinstance(value, str) and datatype is None:
            term: ox.NamedNode | ox.Literal = ox.NamedNode(value)
        elif datatype is not None:
            term = ox.Literal(str(value), datatype=ox.NamedNode(datatype))
        else:
            assert isinstance(value, int | float)
            term = ox.Literal(value)
        quads.append(ox.Quad(ox.NamedNode(subject), ox.NamedNode(predicate), term))

    times = [str(np.datetime_as_string(time, "s")) + "Z" for time in dataset["time"].to_numpy()]
    for t, text in enumerate(times):
        add(f"{base}/instant/{t}", TIME + "inXSDDateTimeStamp", text, XSD + "dateTime")
    for y, lat in enumerate(dataset["lat"].to_numpy().tolist()):
        for x, lon in enumerate(dataset["lon"].to_numpy().tolist()):
            cell = f"{base}/cell/{y}/{x}"
            add(cell, RDF_TYPE, DCUBE + "Cell")
            add(cell, DCUBE + "inGrid", base)
            for word in ("hasGeometry", "hasDefaultGeometry"):
                add(cell, GEO + word, f"{cell}/centre")
            add(f"{cell}/centre", GEO + "asWKT", f"POINT({json.dumps(lon)} {json.dumps(lat)})", GEO + "wktLiteral")
            add(cell, DCUBE + "hasFootprint", f"{cell}/footprint")
            add(f"{cell}/footprint", GEO + "asWKT", footprint(dataset, y, x), GEO + "wktLiteral")
            for name in dataset.data_vars:
                data = dataset[name]
                static = "time" not in data.dims
                for t in range(1 if static else len(times)):
                    raw = (data if static else data.isel(time=t)).isel(lat=y, lon=x).item()
                    if raw != raw:
                        continue
                    middle = "" if static else f"{t}/"
                    observation = f"{base}/observation/{name}/{middle}{y}/{x}"
                    add(observation, RDF_TYPE, SOSA + "Observation")
                    for iri, (variable, rule) in RULES.items():
                        if variable == name and rule(raw):
                            add(observation, RDF_TYPE, iri)
                    add(observation, SOSA + "observedProperty", VAR + str(name))
                    add(observation, SOSA + "hasFeatureOfInterest", cell)
                    add(observation, SOSA + "hasSimpleResult", raw)
                    if static:
                        continue
                    add(observation, SOSA + "resultTime", times[t], XSD + "dateTime")
                    add(observation, SOSA + "phenomenonTime", f"{base}/instant/{t}")
                    point = f"{base}/point/{t}/{y}/{x}"
                    add(point, RDF_TYPE, QB + "Observation")
                    add(point, QB + "dataSet", base)
                    add(point, DCUBE + "cell", cell)
                    add(point, DCUBE + "time", times[t], XSD + "dateTime")
                    add(point, VAR + str(name), raw)
    return quads
