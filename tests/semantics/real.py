"""The worked questions on real places: Somali districts, volcanoes, the streets of Helsinki, scatterers of EGMS.

Simulated are the three cubes (fire weather, drought, unrest), the settlements near the volcanoes and the railway at
Offida, of which the real data at hand hold none. The expected answers are made with pandas, pyproj and shapely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely
import xarray as xr

from deepcube.semantics.questions import INTERPRETATIONS, QUESTIONS
from tests.semantics.scientist import metres
from tests.semantics.worked import PREFIXES


@dataclass
class RealWorld:
    """What is asked, and what is to be found.

    Attributes
    ----------
    cubes : list of pathlib.Path
        The simulated cubes.
    files : list of (pathlib.Path, str or None)
        Linked data and the type of their features.
    expected : dict of str to set of str
        Values of the column :data:`tests.semantics.worked.COLUMN` by question.
    """

    cubes: list[Path] = field(default_factory=list)
    files: list[tuple[Path, str | None]] = field(default_factory=list)
    expected: dict[str, set[str]] = field(default_factory=dict)


def question(name: str) -> str:
    """Return a worked question; the extract of OpenStreetMap has schools and no hospital."""
    return QUESTIONS[name][1].replace("feature:Hospital", "feature:School")


def write_real_world(folder: Path, shared: Path) -> RealWorld:
    """Write the simulated parts and the tables made of real ones, and compute what is to be found."""
    world = RealWorld()
    _fire(world, folder, shared)
    _drought(world, folder, shared)
    _volcano(world, folder, shared)
    _railway(world, folder, shared)
    return world


def _cube(world: RealWorld, folder: Path, name: str, values: np.ndarray, times: list[str], lat: Any, lon: Any) -> None:
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype("f4"))},
        {"time": pd.to_datetime(times), "lat": lat, "lon": lon},
        {"simulated": "true"},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    path = folder / f"{name}.zarr"
    dataset.to_zarr(path, zarr_format=3, consolidated=False)
    rules = [text for text in INTERPRETATIONS.split("dcube:") if text]
    starts = [i for i, text in enumerate(rules) if " a " in text]
    blocks = ["dcube:" + "dcube:".join(rules[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    own = "".join(block for block in _categories(blocks) if f"var:{name} " in block)
    (folder / f"{name}.zarr.mapping.ttl").write_text(
        f'{PREFIXES}<urn:{name}> a dcube:CubeMapping ; dcube:name "{name}" ; dcube:variable '
        f'[ dcube:variableName "{name}" ; dcube:property var:{name} ; rdfs:label "{name} (simulated)" ] .\n{own}'
    )
    world.cubes.append(path)


def _categories(blocks: list[str]) -> list[str]:
    """Return the statements of the shipped categories, each with its full stop."""
    text = "".join(blocks)
    return [f"{part.strip()} .\n" for part in text.split(" .\n") if part.strip()]


def _fire(world: RealWorld, folder: Path, shared: Path) -> None:
    """Extreme danger 10 km east of Helsinki's centre: near enough to some of its schools."""
    lat, lon = np.arange(60.30, 60.05, -0.01), np.arange(24.80, 25.20, 0.01)
    fwi = np.full((2, len(lat), len(lon)), 20.0)
    y, x = int(np.abs(lat - 60.17).argmin()), int(np.abs(lon - 25.12).argmin())
    fwi[1, y, x] = 70
    fwi[0] = 90  # the day before
    _cube(world, folder, "fwi", fwi, ["2020-07-01", "2020-07-02"], lat, lon)
    extract = shared / "osm-helsinki" / "Helsinki.osm.pbf"
    world.files.append((extract, None))
    import osmium

    found = set()
    for item in osmium.FileProcessor(str(extract)).with_areas():
        if item.tags.get("amenity") != "school" or "name" not in item.tags:
            continue
        if item.is_node():
            points = [(item.location.lon, item.location.lat)]
        elif item.is_area():
            points = [(node.lon, node.lat) for ring in item.outer_rings() for node in ring]
        else:
            continue
        corners = np.array(points)
        if metres(corners[:, 0], corners[:, 1], lon[x], lat[y]).min() < 10_000:
            found.add(item.tags["name"])
    world.expected["fire"] = found


def _drought(world: RealWorld, folder: Path, shared: Path) -> None:
    """Real districts and drought displacement (UNHCR), simulated drought index."""
    lat, lon = np.arange(12.0, -2.0, -0.1), np.arange(40.9, 51.6, 0.1)
    field_ = -1.5 + 1.2 * np.sin(lat[:, None] * 1.3) + 0.8 * np.cos(lon[None] * 0.9)
    spei = np.stack([field_, field_ - 0.2])
    _cube(world, folder, "spei3", spei, ["2021-05-01", "2021-06-01"], lat, lon)
    districts = shared / "somalia-admin" / "Som_Admbnda_Adm2_UNDP.json"
    weekly = pd.read_csv(shared / "somalia-district-weekly" / "UC2_District_aggregation_data.csv")
    weekly["month"] = pd.to_datetime(weekly["time"]).dt.strftime("%Y-%m")
    monthly = weekly.groupby(["District", "month"])["IDP_Drought"].sum().reset_index()
    monthly = monthly.rename(columns={"District": "district", "IDP_Drought": "persons"})
    months = monthly[monthly["month"].isin(["2021-05", "2021-06"])]
    months.to_csv(folder / "displacement.csv", index=False)
    world.files += [(districts, "District"), (folder / "displacement.csv", "Displacement")]
    import pyogrio

    meta, _, shapes, fields = pyogrio.raw.read(str(districts))
    names = fields[list(meta["fields"]).index("admin2Name")]
    grid = [axis.ravel() for axis in np.meshgrid(lon, lat)]
    persons = months.pivot(index="district", columns="month", values="persons")
    found = set()
    for name, shape in zip(names, shapely.from_wkb(shapes), strict=True):
        inside = shapely.contains_xy(shape, *grid)
        dry = inside.any() and all(month.astype("f4").ravel()[inside].mean() < -1.5 for month in spei)
        if dry and name in persons.index and persons.loc[name, "2021-06"] > persons.loc[name, "2021-05"]:
            found.add(str(name))
    world.expected["drought"] = found


def _volcano(world: RealWorld, folder: Path, shared: Path) -> None:
    """Real volcanoes; unrest simulated at two of them, and settlements around all of Italy's."""
    catalogue = shared / "gvp-volcanoes" / "volcano.csv"
    world.files.append((catalogue, "Volcano"))
    tops = pd.read_csv(catalogue, encoding_errors="replace").query("Country == 'Italy'")
    lat, lon = np.arange(46.0, 35.0, -0.05), np.arange(10.0, 19.0, 0.05)
    unrest = np.zeros((1, len(lat), len(lon)))
    for name in ("Etna", "Campi Flegrei"):
        top = tops[tops["Name"].str.startswith(name)].iloc[0]
        unrest[0, np.abs(lat - top["Latitude"]).argmin(), np.abs(lon - top["Longitude"]).argmin()] = 0.8
    _cube(world, folder, "unrest", unrest, ["2021-01-01"], lat, lon)
    rows = [
        {"name": f"{top['Name']} {far} km (simulated)", "lon": top["Longitude"], "lat": top["Latitude"] + far / 111.195}
        for _, top in tops.iterrows()
        for far in (4, 9.5, 12)
    ]
    places = pd.DataFrame(rows)
    places.to_csv(folder / "settlements.csv", index=False)
    world.files.append((folder / "settlements.csv", "Settlement"))
    y, x = np.nonzero(unrest[0])
    restless = tops[
        [bool((metres(lon[x], lat[y], top["Longitude"], top["Latitude"]) < 5000).any()) for _, top in tops.iterrows()]
    ]
    world.expected["volcano"] = {
        str(place["name"])
        for _, place in places.iterrows()
        if (metres(place["lon"], place["lat"], restless["Longitude"], restless["Latitude"]) < 10_000).any()
    }


def _railway(world: RealWorld, folder: Path, shared: Path) -> None:
    """Real scatterers, whose trend changes where the slopes of both halves differ, and a simulated railway."""
    import pyogrio

    meta, _, shapes, fields = pyogrio.raw.read(str(shared / "egms-offida" / "clusters_offida.shp"))
    names = list(meta["fields"])
    dates = [i for i, name in enumerate(names) if name.startswith("D20")]
    years = (pd.to_datetime([names[i][1:] for i in dates]) - pd.Timestamp("2018-01-01")).days.to_numpy() / 365.25
    series = np.stack([fields[i].astype(float) for i in dates])
    half = len(dates) // 2
    change = np.polyfit(years[half:], series[half:], 1)[0] - np.polyfit(years[:half], series[:half], 1)[0]
    points = shapely.from_wkb(shapes)
    back = pyproj.Transformer.from_crs(32633, "OGC:CRS84", always_xy=True)
    lon, lat = back.transform(shapely.get_x(points), shapely.get_y(points))
    frame = pd.DataFrame({"lon": lon, "lat": lat, "trend_change": np.abs(change) > 5, "change_mm_per_year": change})
    frame.to_csv(folder / "scatterers.csv", index=False)
    middle = shapely.Point(np.median(shapely.get_x(points)), np.median(shapely.get_y(points)))
    line = shapely.LineString([(middle.x - 5000, middle.y - 300), (middle.x + 5000, middle.y + 300)])
    track = shapely.transform(line, lambda p: np.column_stack(back.transform(p[:, 0], p[:, 1])))
    (folder / "railway.geojson").write_text(
        '{"type": "Feature", "properties": {"name": "simulated"}, "geometry": ' + shapely.to_geojson(track) + "}"
    )
    world.files += [(folder / "scatterers.csv", "Scatterer"), (folder / "railway.geojson", "Railway")]
    far = shapely.distance(points, line)
    assert not (np.abs(far - 200) < 2).any(), "a scatterer at the limit itself is no test"
    base = "https://w3id.org/deepcube/feature/scatterers/"
    world.expected["railway"] = {f"{base}{i}" for i in np.flatnonzero((far < 200) & (np.abs(change) > 5))}
