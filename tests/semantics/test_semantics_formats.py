"""Cubes that are not simulated Zarr in degrees: NetCDF, projected grids, packed integers, and a real cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import xarray as xr

from deepcube.semantics import SemanticCube
from deepcube.semantics.geometry import parse_geometry

_EASTINGS, _NORTHINGS = 500_000.0 + 1000 * np.arange(12), 4_200_000.0 - 1000 * np.arange(10)
_TIMES = np.array(["2021-03-01", "2021-03-02", "2021-03-03"], "M8[ns]")


def _projected(epsg: int) -> xr.Dataset:
    """Return a simulated cube of UTM cells whose value is its own number, with one gap."""
    values = np.arange(3 * 10 * 12, dtype="f4").reshape(3, 10, 12)
    values[1, 4, 5] = np.nan
    dataset = xr.Dataset(
        {"ndvi": (("time", "y", "x"), values, {"grid_mapping": "crs"}), "crs": ((), 0, pyproj.CRS(epsg).to_cf())},
        {"time": _TIMES, "y": _NORTHINGS, "x": _EASTINGS},
        {"simulated": "true"},
    )
    for name in ("x", "y"):
        dataset[name].attrs |= {"units": "m", "standard_name": f"projection_{name}_coordinate"}
    return dataset


@pytest.fixture(params=["netcdf", "packed netcdf", "zarr"])
def projected(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    dataset = _projected(32634)
    if request.param == "zarr":
        dataset.to_zarr(tmp_path / "utm.zarr", zarr_format=3, consolidated=False)
        return tmp_path / "utm.zarr"
    packed = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -9999}
    dataset.to_netcdf(tmp_path / "utm.nc", encoding={"ndvi": packed if request.param == "packed netcdf" else {}})
    return tmp_path / "utm.nc"


def test_places_of_a_projected_grid(projected: Path) -> None:
    """Which cells lie in a polygon of degrees is told by pyproj and the corners of the polygon, as an oracle."""
    back = pyproj.Transformer.from_crs(32634, "OGC:CRS84", always_xy=True)
    east, north = np.meshgrid(_EASTINGS, _NORTHINGS)
    lon, lat = back.transform(east, north)
    west, south, right, top = 21.02, 37.88, 21.09, 37.93
    expected = (lon > west) & (lon < right) & (lat > south) & (lat < top)
    assert 10 < expected.sum() < 110
    box = f"POLYGON(({west} {south}, {right} {south}, {right} {top}, {west} {top}, {west} {south}))"
    query = f"""SELECT ?v ?w {{ ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ;
        sosa:hasSimpleResult ?v . ?c geo:hasGeometry/geo:asWKT ?w
        FILTER(?t = "2021-03-02T00:00:00Z"^^xsd:dateTime) FILTER(geof:sfWithin(?w, '{box}'^^geo:wktLiteral)) }}"""
    answer = SemanticCube([projected]).query(query)
    found = {float(value.value): parse_geometry(place) for value, place in answer.rows if value and place}
    values = _projected(32634)["ndvi"].to_numpy()[1]
    assert set(found) == set(values[expected & np.isfinite(values)].tolist())
    for value, place in found.items():
        row, column = np.argwhere(values == value)[0]
        assert (place.x, place.y) == pytest.approx((lon[row, column], lat[row, column]), abs=1e-9)


def test_values_and_gaps(projected: Path) -> None:
    query = """SELECT (COUNT(*) AS ?n) (SUM(?v) AS ?s) { ?o sosa:observedProperty var:ndvi ;
        sosa:hasSimpleResult ?v FILTER(?v >= 100) }"""
    ((count, total),) = SemanticCube([projected]).query(query).rows
    values = _projected(32634)["ndvi"].to_numpy().astype("f8")
    kept = values[values >= 100]
    assert count is not None and total is not None
    assert (int(count.value), float(total.value)) == (kept.size, kept.sum())


def test_distance_on_a_projected_grid(projected: Path) -> None:
    """Near the central meridian of UTM, metres of the grid are those of the sphere to less than one percent."""
    lon, lat = pyproj.Transformer.from_crs(32634, "OGC:CRS84", always_xy=True).transform(505_000, 4_195_000)
    query = f"""SELECT (COUNT(*) AS ?n) {{ ?o sosa:observedProperty var:ndvi ; sosa:resultTime ?t ;
        sosa:hasFeatureOfInterest/geo:hasGeometry/geo:asWKT ?w FILTER(?t = "2021-03-01T00:00:00Z"^^xsd:dateTime)
        FILTER(geof:distance(?w, 'POINT({lon} {lat})'^^geo:wktLiteral, uom:metre) < 1200) }}"""
    ((count,),) = SemanticCube([projected]).query(query).rows
    assert count is not None and int(count.value) == 5  # the cell and its four neighbours; the diagonal is 1,414 m


def test_every_property_of_a_real_cube(shared_data: Path) -> None:
    """A variable property reads all variables; their observations are told apart only if somebody asks for them."""
    path = shared_data / "xcube-demo-cube" / "cube-5-100-200.zarr"
    query = """SELECT ?p (COUNT(*) AS ?n) (AVG(?v) AS ?mean) {
        ?o sosa:observedProperty ?p ; sosa:hasSimpleResult ?v } GROUP BY ?p"""
    rows = SemanticCube([path]).query(query).rows
    found = {p.value.rsplit("#")[1]: (int(n.value), float(mean.value)) for p, n, mean in rows if p and n and mean}
    with xr.open_zarr(path) as dataset:
        names = ("conc_chl", "conc_tsm", "kd489", "quality_flags", "c2rcc_flags")
        expected = {name: (int(dataset[name].count()), float(dataset[name].mean())) for name in names}
    assert {name: count for name, (count, _) in found.items()} == {name: n for name, (n, _) in expected.items()}
    for name, (_, mean) in expected.items():
        assert found[name][1] == pytest.approx(mean, rel=1e-9)
