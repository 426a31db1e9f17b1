"""A small simulated world in which the worked questions have known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.semantics.questions import INTERPRETATIONS

PREFIXES = """@prefix dcube: <https://w3id.org/deepcube#> .
@prefix var: <https://w3id.org/deepcube/variable#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix feature: <https://w3id.org/deepcube/feature#> .
@prefix geo: <http://www.opengis.net/ont/geosparql#> .
"""


def write_world(folder: Path) -> tuple[Path, Path]:
    """Write a simulated cube with its mapping and a file of simulated features; return both paths."""
    lat, lon = np.linspace(1.975, 0.025, 40), np.linspace(40.025, 41.975, 40)
    times = pd.to_datetime(["2020-07-01", "2020-07-02", "2021-05-01", "2021-06-01"])
    shape = (4, 40, 40)
    fwi, spei, unrest = np.full(shape, 20.0, "f4"), np.zeros(shape, "f4"), np.zeros(shape, "f4")
    fwi[1, 5:8, 5:8] = [[55, 60, 51]] * 3  # extreme danger on 2 July around 1.70 N, 40.30 E
    fwi[0, 30:, 30:] = 90  # and elsewhere the day before
    spei[2:, :, :20] = -2.0  # the western half is in drought in both months
    spei[2, :, 20:] = -2.0  # the eastern half only in May
    unrest[0, 20, 20] = 0.9  # at 0.975 N, 41.025 E
    dataset = xr.Dataset(
        {
            "fwi": (("time", "lat", "lon"), fwi),
            "spei3": (("time", "lat", "lon"), spei),
            "unrest": (("time", "lat", "lon"), unrest),
        },
        {"time": times, "lat": lat, "lon": lon},
        {"simulated": "true", "title": "Simulated world of the worked questions"},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    cube = folder / "world.zarr"
    dataset.to_zarr(cube, zarr_format=3, consolidated=False)
    variables = " , ".join(
        f'[ dcube:variableName "{name}" ; dcube:property var:{name} ; rdfs:label "{name} (simulated)" ]'
        for name in ("fwi", "spei3", "unrest")
    )
    head = f'{PREFIXES}<urn:world> a dcube:CubeMapping ; dcube:name "world" ; dcube:variable {variables} .\n'
    (folder / "world.zarr.mapping.ttl").write_text(head + INTERPRETATIONS)
    features = folder / "features.ttl"
    features.write_text(PREFIXES + _FEATURES)
    return cube, features


def feature(name: str, kind: str, wkt: str, more: str = "", label: str = "") -> str:
    """Return Turtle of a feature, simulated."""
    return (
        f'<urn:{name}> a feature:{kind} ; rdfs:label "{label or name}" ; {more} geo:hasGeometry <urn:{name}/g> ; '
        f'geo:hasDefaultGeometry <urn:{name}/g> . <urn:{name}/g> geo:asWKT "{wkt}"^^geo:wktLiteral .\n'
    )


def _displaced(district: str, may: int, june: int) -> str:
    return "".join(
        f'<urn:{district}/{month}> a feature:Displacement ; feature:district "{district}" ; feature:month "{month}" ; '
        f"feature:persons {persons} .\n"
        for month, persons in (("2021-05", may), ("2021-06", june))
    )


_FEATURES = "".join(
    [
        feature("near-fire", "Hospital", "POINT(40.33 1.66)"),
        feature("at-edge", "Hospital", "POINT(40.2 1.62)"),
        feature("far", "Hospital", "POINT(41.8 0.2)"),
        feature("dry-rising", "District", "POLYGON((40 0, 40.5 0, 40.5 1, 40 1, 40 0))"),
        feature("dry-falling", "District", "POLYGON((40.5 0, 41 0, 41 1, 40.5 1, 40.5 0))"),
        feature("wet-rising", "District", "POLYGON((41 0, 42 0, 42 2, 41 2, 41 0))"),
        _displaced("dry-rising", 100, 250),
        _displaced("dry-falling", 250, 100),
        _displaced("wet-rising", 1, 1000),
        feature("restless", "Volcano", "POINT(41.03 0.98)"),
        feature("quiet", "Volcano", "POINT(40.3 0.4)"),
        feature("close-town", "Settlement", "POINT(41.09 0.98)"),
        feature("nearer-town", "Settlement", "POINT(41.05 0.98)"),
        feature("quiet-town", "Settlement", "POINT(40.31 0.41)"),
        feature("line", "Railway", "LINESTRING(40.1 0.1, 40.2 0.1)"),
        feature(
            "moving-near",
            "Scatterer",
            "POINT(40.15 0.101)",
            "feature:trend_change true ; feature:change_mm_per_year -8 ;",
        ),
        feature(
            "moving-far",
            "Scatterer",
            "POINT(40.15 0.11)",
            "feature:trend_change true ; feature:change_mm_per_year -9 ;",
        ),
        feature(
            "still-near", "Scatterer", "POINT(40.12 0.1)", "feature:trend_change false ; feature:change_mm_per_year 0 ;"
        ),
    ]
)

EXPECTED = {
    "fire": {"near-fire", "at-edge"},
    "drought": {"dry-rising"},
    "volcano": {"nearer-town", "close-town"},
    "railway": {"urn:moving-near"},
}
"""What each question is to find, by hand from the layout above."""
COLUMN = {"fire": "name", "drought": "name", "volcano": "settlement", "railway": "scatterer"}
