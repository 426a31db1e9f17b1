"""Metadata out: cubes and feature groups as DCAT 3, with the extent terms of STAC, in RDF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyoxigraph as ox
import shapely

from deepcube.semantics import vocabulary as v
from deepcube.semantics.source import CubeSource
from deepcube.semantics.terms import date_time

_NODE = ox.NamedNode


def catalogue(
    cubes: list[CubeSource], feature_groups: list[Any] | None = None, iri: str = v.CUBE_BASE + "catalogue"
) -> Iterator[ox.Triple]:
    """Yield the catalogue of cubes and feature groups.

    Parameters
    ----------
    cubes : list of CubeSource
        Each becomes a ``dcat:Dataset`` with its extent in space and time, variables, categories and distribution.
    feature_groups : list of hsfs.feature_group.FeatureGroup, optional
        As the Hopsworks client returns them; each becomes a ``dcat:Dataset`` with its features.
    iri : str
        IRI of the catalogue.
    """
    node = _NODE(iri)
    yield ox.Triple(node, _NODE(v.A), _NODE(v.DCAT + "Catalog"))
    yield ox.Triple(node, _NODE(v.DCTERMS + "title"), ox.Literal("DeepCube catalogue"))
    for cube in cubes:
        subject = _NODE(cube.mapping.base.rstrip("/"))
        yield ox.Triple(node, _NODE(v.DCAT + "dataset"), subject)
        yield from _cube(cube, subject)
    for group in feature_groups or []:
        subject = _NODE(f"{v.FEATURE_BASE}group/{group.name}/{group.version}")
        yield ox.Triple(node, _NODE(v.DCAT + "dataset"), subject)
        yield from _feature_group(group, subject)


def _cube(cube: CubeSource, subject: ox.NamedNode) -> Iterator[ox.Triple]:
    for quad in sorted(cube.description(), key=lambda quad: (str(quad.subject), str(quad.predicate))):
        yield ox.Triple(quad.subject, quad.predicate, quad.object)
    yield ox.Triple(subject, _NODE(v.A), _NODE(v.STAC + "Collection"))
    yield ox.Triple(subject, _NODE(v.DCTERMS + "identifier"), ox.Literal(cube.mapping.name))
    grids = list(cube.grids.values())
    boxes = np.array([grid.bounds() for grid in grids])
    (west, south), (east, north) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    place = _NODE(f"{subject.value}/extent")
    box = ox.Literal(shapely.box(west, south, east, north).wkt, datatype=_NODE(v.WKT_LITERAL))
    yield ox.Triple(subject, _NODE(v.DCTERMS + "spatial"), place)
    yield ox.Triple(place, _NODE(v.A), _NODE(v.DCTERMS + "Location"))
    yield ox.Triple(place, _NODE(v.DCAT + "bbox"), box)
    times = np.concatenate([grid.times for grid in grids])
    if len(times):
        period = _NODE(f"{subject.value}/period")
        yield ox.Triple(subject, _NODE(v.DCTERMS + "temporal"), period)
        yield ox.Triple(period, _NODE(v.A), _NODE(v.DCTERMS + "PeriodOfTime"))
        for word, stac, value in (
            ("startDate", "start_datetime", times.min()),
            ("endDate", "end_datetime", times.max()),
        ):
            yield ox.Triple(period, _NODE(v.DCAT + word), date_time(int(value)))
            yield ox.Triple(subject, _NODE(v.STAC + stac), date_time(int(value)))
    for variable in cube.variables.values():
        yield ox.Triple(subject, _NODE(v.DCAT + "theme"), _NODE(variable.property))
    distribution = _NODE(f"{subject.value}/distribution")
    yield ox.Triple(subject, _NODE(v.DCAT + "distribution"), distribution)
    yield ox.Triple(distribution, _NODE(v.A), _NODE(v.DCAT + "Distribution"))
    yield ox.Triple(distribution, _NODE(v.DCTERMS + "title"), ox.Literal(re.split(r"[\\/]", cube.path.rstrip("/"))[-1]))


def _feature_group(group: Any, subject: ox.NamedNode) -> Iterator[ox.Triple]:
    yield ox.Triple(subject, _NODE(v.A), _NODE(v.DCAT + "Dataset"))
    yield ox.Triple(subject, _NODE(v.DCTERMS + "title"), ox.Literal(str(group.name)))
    yield ox.Triple(subject, _NODE(v.DCAT + "version"), ox.Literal(str(group.version)))
    if getattr(group, "description", None):
        yield ox.Triple(subject, _NODE(v.DCTERMS + "description"), ox.Literal(str(group.description)))
    for feature in group.columns:
        node = _NODE(f"{subject.value}/{feature.name}")
        yield ox.Triple(subject, _NODE(v.DCAT + "theme"), node)
        yield ox.Triple(node, _NODE(v.RDFS + "label"), ox.Literal(str(feature.name)))
        yield ox.Triple(node, _NODE(v.DCTERMS + "type"), ox.Literal(str(feature.type)))
        if getattr(feature, "description", None):
            yield ox.Triple(node, _NODE(v.DCTERMS + "description"), ox.Literal(str(feature.description)))
