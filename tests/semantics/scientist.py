"""Two simulated cubes over real places, and their observations as tables: the world of the scientist's questions.

The tables and geometries are made with pandas, numpy and shapely only: what the engine answers is checked against them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr

RADIUS = 6371008.7714
MAPPINGS = {
    "city": """
<urn:city> a dcube:CubeMapping ; dcube:name "city" ;
  dcube:variable [ dcube:variableName "ndvi" ; dcube:property var:ndvi ; rdfs:label "vegetation index (simulated)" ] ,
    [ dcube:variableName "lst" ; dcube:property var:lst ; rdfs:label "surface temperature (simulated)" ] ,
    [ dcube:variableName "cover" ; dcube:property var:cover ; rdfs:label "land cover (simulated)" ] ,
    [ dcube:variableName "risk" ; dcube:property var:risk ; rdfs:label "predicted fire risk (simulated)" ] .
dcube:SparseVegetation a dcube:Interpretation ; dcube:interprets var:ndvi ; dcube:lessThan 0.2 .
dcube:DenseVegetation a dcube:Interpretation ; dcube:interprets var:ndvi ; dcube:moreThan 0.6 .
dcube:Hot a dcube:Interpretation ; dcube:interprets var:lst ; dcube:atLeast 300 .
dcube:Green a dcube:Interpretation ; dcube:interprets var:cover ; dcube:oneOf ( 1 2 ) .
""",
    "globe": """
<urn:globe> a dcube:CubeMapping ; dcube:name "globe" ;
  dcube:variable [ dcube:variableName "spei3" ; dcube:property var:spei3 ; rdfs:label "drought index (simulated)" ] ,
    [ dcube:variableName "t2m" ; dcube:property var:t2m ; rdfs:label "air temperature (simulated)" ] .
dcube:SevereDrought a dcube:Interpretation ; dcube:interprets var:spei3 ; dcube:lessThan -1.5 .
""",
}
_PREFIXES = """@prefix dcube: <https://w3id.org/deepcube#> .
@prefix var: <https://w3id.org/deepcube/variable#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
"""


@dataclass
class Table:
    """A cube as a table.

    Attributes
    ----------
    dataset : xarray.Dataset
        The cube.
    """

    dataset: xr.Dataset

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row for each time and cell: t, lat, lon (-180 to 180), cell and every variable, NaN for gaps."""
        frame = self.dataset.to_dataframe().reset_index()
        frame = frame.rename(columns={"time": "t"})
        frame["lon"] = np.where(frame["lon"] > 180, frame["lon"] - 360, frame["lon"])
        y = pd.Series(range(self.dataset.sizes["lat"]), self.dataset["lat"].to_numpy())
        x = pd.Series(range(self.dataset.sizes["lon"]), self._turned())
        frame["cell"] = frame["lat"].map(y).astype(str) + "/" + frame["lon"].map(x).astype(str)
        return frame

    def _turned(self) -> np.ndarray[Any, Any]:
        lon = self.dataset["lon"].to_numpy()
        return np.where(lon > 180, lon - 360, lon)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row for each cell: cell, centre and footprint."""
        frame = self.rows.drop_duplicates("cell")[["cell", "lat", "lon"]].set_index("cell")
        dy, dx = (abs(float(np.diff(self.dataset[name])[0])) / 2 for name in ("lat", "lon"))
        frame["centre"] = shapely.points(frame["lon"], frame["lat"])
        frame["footprint"] = shapely.box(frame["lon"] - dx, frame["lat"] - dy, frame["lon"] + dx, frame["lat"] + dy)
        return frame

    def cells_where(self, holds: Any, column: str = "centre") -> set[str]:
        """Return the cells for whose geometries a function of an array of them is true."""
        return set(self.cells.index[np.asarray(holds(self.cells[column].to_numpy()), dtype=bool)])


def make_tables() -> dict[str, Table]:
    """Return the simulated cubes."""
    random = np.random.default_rng(4)
    times = pd.date_range("2020-04-02", periods=14, freq="16D")
    lat, lon = 60.180512345 - 0.001 * np.arange(17), 24.934512345 + 0.001 * np.arange(20)  # no node lies on an edge
    shape = (len(times), len(lat), len(lon))
    ndvi = np.clip(0.4 + 0.25 * random.standard_normal(shape), -0.1, 0.95).astype("f4")
    lst = 295 + 6 * random.standard_normal(shape)
    risk = random.random(shape).astype("f4")
    for values, share in ((ndvi, 0.2), (lst, 0.1), (risk, 0.3)):
        values[random.random(shape) < share] = np.nan
    dims = ("time", "lat", "lon")
    city = xr.Dataset(
        {
            "ndvi": (dims, ndvi),
            "lst": (dims, lst, {"units": "K"}),
            "cover": (dims[1:], random.integers(0, 5, shape[1:]).astype("i2")),
            "risk": (dims, risk),
        },
        {"time": times, "lat": lat, "lon": lon},
        {"simulated": "true"},
    )
    months = pd.date_range("2021-01-01", periods=18, freq="MS")
    lat, lon = np.arange(87.5, -90, -5), np.arange(0.0, 360, 5) + 2.5
    shape = (len(months), len(lat), len(lon))
    slow = np.cumsum(random.standard_normal(shape), axis=0) / 2
    t2m = 288 - 0.6 * np.abs(lat)[None, :, None] + random.standard_normal(shape)
    globe = xr.Dataset(
        {"spei3": (dims, slow.astype("f4")), "t2m": (dims, t2m, {"units": "K"})},
        {"time": months, "lat": lat, "lon": lon},
        {"simulated": "true"},
    )
    for dataset in (city, globe):
        dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    return {"city": Table(city), "globe": Table(globe)}


def write_tables(tables: dict[str, Table], folder: Path) -> list[Path]:
    """Write cubes with their mappings and return their paths."""
    paths = []
    for name, table in tables.items():
        path = folder / f"{name}.zarr"
        encoding = {str(key): {"chunks": tuple(min(n, 7) for n in data.shape)} for key, data in table.dataset.items()}
        table.dataset.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)
        (folder / f"{name}.zarr.mapping.ttl").write_text(_PREFIXES + MAPPINGS[name])
        paths.append(path)
    return paths


def countries(path: Path) -> dict[str, Any]:
    """Return the countries of a TopoJSON file of Natural Earth by name, read with pyogrio."""
    import pyogrio

    meta, _, shapes, fields = pyogrio.raw.read(str(path), layer="countries")
    names = fields[list(meta["fields"]).index("name")]
    return {str(name): shapely.make_valid(shapely.from_wkb(shape)) for name, shape in zip(names, shapes, strict=True)}


def osm_points(path: Path) -> list[tuple[dict[str, str], Any]]:
    """Return tags and place of the tagged nodes of an OpenStreetMap extract, read with GDAL."""
    import pyogrio

    meta, _, shapes, fields = pyogrio.raw.read(str(path), layer="points")
    columns = list(meta["fields"])
    found = []
    for i, shape in enumerate(shapely.from_wkb(shapes)):
        held = {name: fields[j][i] for j, name in enumerate(columns) if fields[j][i] is not None}
        more = str(held.pop("other_tags", "") or "")
        found.append((held | dict(re.findall(r'"([^"]+)"=>"((?:[^"\\\\]|\\\\.)*)"', more)), shape))
    return found


def osm_lines(path: Path, key: str) -> list[tuple[dict[str, str], Any]]:
    """Return tags and line of the ways with a key all of whose nodes an OpenStreetMap extract holds."""
    import osmium

    places, found = {}, []
    for item in osmium.FileProcessor(str(path)):
        if item.is_node():
            places[item.id] = (item.location.lon, item.location.lat)
        elif item.is_way() and key in item.tags:
            nodes = [places.get(node.ref) for node in item.nodes]
            if None not in nodes and len(nodes) > 1:
                found.append(({tag.k: tag.v for tag in item.tags}, shapely.LineString(nodes)))
    return found


def metres(lon1: Any, lat1: Any, lon2: Any, lat2: Any) -> Any:
    """Return great-circle distances, by the formula of Vincenty for a sphere."""
    a, b, c, d = (np.radians(np.asarray(value, dtype=float)) for value in (lon1, lat1, lon2, lat2))
    x = np.cos(d) * np.sin(c - a)
    y = np.cos(b) * np.sin(d) - np.sin(b) * np.cos(d) * np.cos(c - a)
    return RADIUS * np.arctan2(np.hypot(x, y), np.sin(b) * np.sin(d) + np.cos(b) * np.cos(d) * np.cos(c - a))


def volcanoes(path: Path) -> pd.DataFrame:
    """Return the volcano catalogue."""
    return pd.read_csv(path, encoding_errors="replace")
