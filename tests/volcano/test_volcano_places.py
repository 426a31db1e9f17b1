"""Where interferograms lie: by georeference, by a catalogue, or not known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import from_origin

from deepcube.cubes.names import plain_name
from features import volcano
from inference_pipelines.volcano import alert, places
from inference_pipelines.volcano.inbox import local_items

CATALOGUE = """Volcanoes of the world, a title
Volcano Name,Country,Latitude,Longitude
Etna,Italy,37.748,14.999
"Azul, Cerro",Ecuador,-0.92,-91.408
"Negra, Sierra",Ecuador,-0.83,-91.17
"Negra, Laguna",Peru,-10,-70
Plosky,Russia,55.2,158.47
Plosky,Russia,57.83,160.25
Akademia Nauk,Russia,53.98,159.45
Akademia Nauk,Russia,53.983,159.45
Nowhere,Sea,,
Acıgöl-Nevşehir,Türkiye,38.537,-325.5
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "volcanoes.csv"
    path.write_text(CATALOGUE, encoding="utf-8")
    return path


def geotiff(path: Path, phase: np.ndarray, crs: str | None) -> Path:
    """Write a phase in radians with 0.001 degrees or 100 m a pixel from its north-western corner."""
    place = {"EPSG:4326": from_origin(14.9, 37.8, 0.001, 0.001), "EPSG:32633": from_origin(5e5, 4.18e6, 100, 100)}
    size = {"height": phase.shape[0], "width": phase.shape[1], "count": 1}
    options: dict[str, Any] = {} if crs is None else {"crs": crs, "transform": place[crs]}
    with rasterio.open(path, "w", driver="GTiff", dtype="float32", **size, **options) as file:
        file.write(phase, 1)
    return path


def test_names_are_found_however_they_are_written(catalogue: Path) -> None:
    table = volcano.read_catalogue(catalogue).set_index("place")
    for name, longitude in {"etna": 14.999, "cerro_azul": -91.408, "azul": -91.408, "sierra-negra": -91.17}.items():
        assert table.loc[plain_name(name), "longitude"] == longitude
    assert table.loc["akademianauk", "latitude"] == 53.98, "two entries of one place are one volcano"
    assert "plosky" not in table.index, "two volcanoes of one name: neither is guessed"
    assert "negra" not in table.index and "nowhere" not in table.index
    assert table.loc[plain_name("acigol_nevsehir"), "longitude"] == pytest.approx(34.5)
    assert table.loc["etna", "known_from"] == "catalogue volcanoes.csv"


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "name,latitude,longitude\nx,y,z\n"])
def test_what_is_no_catalogue_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    with pytest.raises(volcano.CatalogueError, match="wrong"):
        volcano.read_catalogue(path)


def test_the_real_catalogue_places_most_real_patches(shared_data: Path) -> None:
    known = set(volcano.read_catalogue(shared_data / "gvp-volcanoes" / "volcano.csv")["place"])
    names = [file.name for file in (shared_data / "insar-volcano-patches").rglob("*_*.*")]
    placed = [plain_name(volcano.name_parts(name)["volcano"]) in known for name in names]
    assert len(placed) > 600
    assert 0.8 < np.mean(placed) < 1
    assert "unnamed" not in known


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633"])
def test_a_georeference_tells_the_place(tmp_path: Path, phases: list[np.ndarray], crs: str) -> None:
    path = geotiff(tmp_path / "one.tif", phases[0], crs)
    found = volcano.locate_pixel(path, 10, 20)
    expected = (14.9205, 37.7895) if crs == "EPSG:4326" else (15.0234, 37.7575)
    assert found == pytest.approx(expected, abs=1e-3)


def test_without_a_georeference_there_is_no_place(tmp_path: Path, phases: list[np.ndarray]) -> None:
    assert volcano.locate_pixel(geotiff(tmp_path / "bare.tif", phases[0], None), 0, 0) is None
    np.save(tmp_path / "one.npy", phases[0])
    assert volcano.locate_pixel(tmp_path / "one.npy", 0, 0) is None
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert volcano.locate_pixel(tmp_path / "broken.tif", 0, 0) is None


def test_patches_of_a_set_keep_their_place(tmp_path: Path, phases: list[np.ndarray], write_phase: Any) -> None:
    for label in ("deformation", "none"):
        (tmp_path / "set" / label).mkdir(parents=True)
    geotiff(tmp_path / "set" / "deformation" / "etna_20200101_20200113.tif", phases[0], "EPSG:4326")
    write_phase(tmp_path / "set" / "none" / "bare_20200101_20200113.png", phases[1])
    source = volcano.open_source(str(tmp_path / "set"))
    tables = volcano.compute_tables(source.cube, list(source.read()))
    assert len(tables.patches) == 2
    (row,) = tables.places.to_dict("records")
    assert row["place"] in set(tables.patches["patch_id"])
    assert (row["longitude"], row["latitude"]) == pytest.approx((15.0085, 37.6915))


def test_a_cube_tells_the_place_by_its_coordinates(tmp_path: Path, phases: list[np.ndarray]) -> None:
    import xarray as xr

    x, y = 14.9 + 0.001 * np.arange(216), 37.8 - 0.001 * np.arange(216)
    dims = ("pair", "latitude", "longitude")
    data = xr.Dataset(
        {"wrapped_phase": (dims, np.stack(phases[:2]), {"units": "radian"})},
        {
            "latitude": ("latitude", y, {"units": "degrees_north"}),
            "longitude": ("longitude", x, {"units": "degrees_east"}),
        },
    )
    data.to_zarr(tmp_path / "pairs.zarr")
    items = local_items(tmp_path / "pairs.zarr")
    assert len(items) == 2
    assert items[1].locate(100, 50) == pytest.approx((14.95, 37.7))


class _Group:
    name = "volcano_places"

    def __init__(self) -> None:
        self.rows = pd.DataFrame(columns=list(volcano.PLACE_COLUMNS))

    def insert(self, table: pd.DataFrame) -> None:
        self.rows = pd.concat([self.rows, table]).drop_duplicates("place", keep="last")


def test_alerts_note_where_they_are(
    platform: Any, tmp_path: Path, phases: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = _Group()
    monkeypatch.setattr(volcano, "places_group", lambda fs: group)
    inbox = tmp_path / "tiffs"
    inbox.mkdir()
    geotiff(inbox / "014A_07885_131313_etna_20200101_20200113.tif", phases[0], "EPSG:4326")
    geotiff(inbox / "bare_20200101_20200113.tif", phases[1], None)
    assert alert(platform, str(inbox))["scored"] == 2
    (event,) = (row for row in platform.group.rows.values() if row["volcano"] == "etna")
    (row,) = group.rows.to_dict("records")
    assert row["place"] == event["event_id"]
    assert row["longitude"] == pytest.approx(14.9 + 0.001 * (event["col"] + 0.5))
    assert row["latitude"] == pytest.approx(37.8 - 0.001 * (event["row"] + 0.5))


def test_a_catalogue_is_written_once(catalogue: Path, platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group = _Group()
    monkeypatch.setattr(volcano, "places_group", lambda fs: group)
    summary = places(platform, str(catalogue))
    count = summary["feature_groups"]["volcano_places"]
    assert count == len(group.rows) > 5
    (platform.root / "Resources" / "volcano").mkdir(parents=True)
    (platform.root / "Resources" / "volcano" / "volcanoes.csv").write_bytes(catalogue.read_bytes())
    assert places(platform, "Resources/volcano/volcanoes.csv")["feature_groups"]["volcano_places"] == count
    with pytest.raises(volcano.CatalogueError, match="Found no file"):
        places(SimpleNamespace(get_dataset_api=platform.get_dataset_api), "Resources/none.csv")
