"""Namespaces and the terms of the ontology (``ontology.ttl``) that the engine gives a meaning to."""

from __future__ import annotations

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
XSD = "http://www.w3.org/2001/XMLSchema#"
SOSA = "http://www.w3.org/ns/sosa/"
SSN = "http://www.w3.org/ns/ssn/"
GEO = "http://www.opengis.net/ont/geosparql#"
GEOF = "http://www.opengis.net/def/function/geosparql/"
SF = "http://www.opengis.net/ont/sf#"
UOM = "http://www.opengis.net/def/uom/OGC/1.0/"
QB = "http://purl.org/linked-data/cube#"
QB4ST = "http://www.w3.org/ns/qb4st/"
TIME = "http://www.w3.org/2006/time#"
QUDT = "http://qudt.org/schema/qudt/"
UNIT = "http://qudt.org/vocab/unit/"
PROV = "http://www.w3.org/ns/prov#"
DCAT = "http://www.w3.org/ns/dcat#"
DCTERMS = "http://purl.org/dc/terms/"
STAC = "https://stacspec.org/ns#"
DCUBE = "https://w3id.org/deepcube#"
VARIABLE = "https://w3id.org/deepcube/variable#"
CUBE_BASE = "https://w3id.org/deepcube/cube/"
FEATURE_BASE = "https://w3id.org/deepcube/feature/"
FEATURE = "https://w3id.org/deepcube/feature#"
OSM_KEY = "https://wiki.openstreetmap.org/wiki/Key:"

PREFIXES: dict[str, str] = {
    "rdf": RDF,
    "rdfs": RDFS,
    "xsd": XSD,
    "sosa": SOSA,
    "ssn": SSN,
    "geo": GEO,
    "geof": GEOF,
    "sf": SF,
    "uom": UOM,
    "qb": QB,
    "qb4st": QB4ST,
    "time": TIME,
    "qudt": QUDT,
    "unit": UNIT,
    "prov": PROV,
    "dcat": DCAT,
    "dcterms": DCTERMS,
    "dcube": DCUBE,
    "var": VARIABLE,
    "feature": FEATURE,
    "osmkey": OSM_KEY,
}
"""Prefixes that every query may use without declaring them."""

A = RDF + "type"
OBSERVATION = SOSA + "Observation"
OBSERVED_PROPERTY = SOSA + "observedProperty"
FEATURE_OF_INTEREST = SOSA + "hasFeatureOfInterest"
RESULT_TIME = SOSA + "resultTime"
PHENOMENON_TIME = SOSA + "phenomenonTime"
SIMPLE_RESULT = SOSA + "hasSimpleResult"
IN_DATE_TIME = TIME + "inXSDDateTimeStamp"
HAS_GEOMETRY = GEO + "hasGeometry"
HAS_DEFAULT_GEOMETRY = GEO + "hasDefaultGeometry"
AS_WKT = GEO + "asWKT"
WKT_LITERAL = GEO + "wktLiteral"
GML_LITERAL = GEO + "gmlLiteral"
GEOJSON_LITERAL = GEO + "geoJSONLiteral"
QB_OBSERVATION = QB + "Observation"
QB_DATASET = QB + "dataSet"
CELL = DCUBE + "Cell"
AT_CELL = DCUBE + "cell"
AT_TIME = DCUBE + "time"
IN_GRID = DCUBE + "inGrid"
HAS_FOOTPRINT = DCUBE + "hasFootprint"
METRE = UOM + "metre"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

EARTH_RADIUS = 6371008.7714
"""Mean radius of the Earth in metres (IUGG, GRS 80 R1), the one that every distance here is computed with."""
