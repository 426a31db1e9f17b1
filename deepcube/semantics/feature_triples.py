"""Features (identifier, fields, geometry) as triples, whichever file or table they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyoxigraph as ox
import shapely

from deepcube.semantics import vocabulary as v

_LABELS = ("name", "label", "title", "volcano name", "admin2name", "admin1name")
_CELL = "cell_id"  # HEALPix cell of features and predictions; its middle is the place
_X, _Y = ("longitude", "lon", "lng", "x"), ("latitude", "lat", "y")
_NODE = ox.NamedNode

Feature = tuple[str | None, Mapping[str, Any], Any]
"""Identifier, fields and geometry in longitude and latitude of a feature."""


def frame_features(frame: Any, key: str | None = None) -> Iterator[Feature]:
    """Yield the rows of a data frame, such as one read from a feature group, as features.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows; columns named longitude and latitude (lon, lat, ...) are the place, or else ``cell_id``, if there are any.
    key : str, optional
        Column that identifies rows; by default their number.
    """
    lower = {str(column).lower(): column for column in frame.columns}
    x = next((lower[name] for name in _X if name in lower), None)
    y = next((lower[name] for name in _Y if name in lower), None)
    if (x is None or y is None) and _CELL in frame and len(frame):
        from deepcube.cubes import cell_centre

        x, y = "longitude", "latitude"
        frame = frame.assign(**dict(zip((x, y), cell_centre(frame[_CELL].to_numpy(np.int64)), strict=True)))
    for number, row in enumerate(frame.to_dict("records")):
        fields = {str(name): plain(value) for name, value in row.items() if name not in (x, y)}
        point = None
        if x is not None and y is not None and np.isfinite([float(row[x]), float(row[y])]).all():
            point = shapely.Point(float(row[x]), float(row[y]))
        yield str(row[key]) if key else str(number), fields, point


def feature_triples(features: Iterable[Feature], name: str, kind: str | None) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the triples of features.

    Parameters
    ----------
    features : iterable of Feature
        What is described.
    name : str
        Name of the data set in IRIs.
    kind : str or None
        What they are; ``Feature`` by default.
    """
    for number, (identifier, fields, geometry) in enumerate(features):
        local = slug(str(identifier)) if identifier not in (None, "") else str(number)
        iri = f"{v.FEATURE_BASE}{name}/{local}"
        subject = _NODE(iri)
        yield subject, _NODE(v.A), _NODE(v.GEO + "Feature")
        yield subject, _NODE(v.A), _NODE(v.FEATURE + _word(kind or "Feature"))
        yield subject, _NODE(v.DCTERMS + "isPartOf"), _NODE(v.FEATURE_BASE + name)
        label = next((fields[f] for f in fields if f.lower() in _LABELS and fields[f] not in (None, "")), None)
        if label is not None:
            yield subject, _NODE(v.RDFS + "label"), ox.Literal(str(label))
        for field, value in fields.items():
            if value is not None and value != "":
                yield subject, _NODE(v.FEATURE + _word(field)), _literal(value)
        if geometry is not None and not geometry.is_empty:
            yield from geometry_triples(subject, iri, geometry)


def geometry_triples(subject: Any, iri: str, geometry: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the triples that give a feature its geometry, in longitude and latitude."""
    node = _NODE(f"{iri}/geometry")
    yield subject, _NODE(v.HAS_GEOMETRY), node
    yield subject, _NODE(v.HAS_DEFAULT_GEOMETRY), node
    yield node, _NODE(v.AS_WKT), ox.Literal(geometry.wkt, datatype=_NODE(v.WKT_LITERAL))


def plain(value: Any) -> Any:
    """Return a value of a table as a plain Python one; None for a missing one."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value != value else value


def _literal(value: Any) -> ox.Literal:
    if isinstance(value, bool | int | float):
        return ox.Literal(value)
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        if "T" not in text:
            return ox.Literal(text, datatype=_NODE(v.XSD + "date"))
        zone = "" if re.search(r"(Z|[+-]\d\d:\d\d)$", text) else "Z"
        return ox.Literal(text.replace("+00:00", "Z") + zone, datatype=_NODE(v.XSD + "dateTime"))
    return ox.Literal(str(value))


def slug(text: str) -> str:
    """Return a text as a part of an IRI."""
    return re.sub(r"[^A-Za-z0-9._~-]+", "-", text).strip("-") or "x"


def _word(text: str) -> str:
    word = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "field"
    return word if not word[0].isdigit() else f"f_{word}"
