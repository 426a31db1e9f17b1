"""A published cube: opens again by its item, says everything about itself, and tells when it was damaged."""

import json
import shutil

import numpy as np
import pystac
import pytest
import xarray as xr
from pystac.extensions.datacube import DatacubeExtension

from deepcube.cubes import open_cube
from deepcube.cubes.publish import PublishError, open_published, publish, verify
from deepcube.cubes.simulate import simulate


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    made = simulate("drought", tmp_path_factory.mktemp("source") / "made", seed=0, size="tiny", side=16, days=120)
    return open_cube(made.data, name="dry land")


@pytest.fixture(scope="module")
def item(cube, tmp_path_factory):
    return publish(cube, tmp_path_factory.mktemp("published") / "copy")


def test_it_opens_again_by_its_item_with_the_same_values(cube, item):
    for place in (item, item.parent):
        again = open_published(place, check=True)
        assert again.name == cube.name and again.simulated
        assert set(again.variables) == set(cube.variables)
        for name in cube.variables:
            xr.testing.assert_allclose(again[name].drop_attrs(), cube[name].drop_attrs(), rtol=0, atol=0)
            for key in ("units", "long_name", "kind"):
                assert again[name].attrs[key] == cube[name].attrs[key]
        for grid in cube.grids:
            assert again.grid(grid.name).crs == grid.crs


def test_the_item_describes_every_grid(cube, item):
    stac = pystac.Item.from_file(str(item))
    assert stac.properties["simulated"] is True and stac.properties["license"] == "Apache-2.0"
    assert stac.properties["start_datetime"].startswith("2016-01-02")
    west, south, east, north = stac.bbox
    assert west < 42.5 < east and south < 2.0 < north
    for grid in cube.grids:
        described = DatacubeExtension.ext(stac.assets[f"grid-{grid.name}"])
        assert set(described.variables) == set(map(str, grid.dataset.data_vars))
        assert set(described.dimensions) == ({"time"} if "time" in grid.dataset.dims else set()) | {"y", "x"}
        for name, variable in described.variables.items():
            assert variable.unit == grid.dataset[name].attrs["units"]
    weather = DatacubeExtension.ext(stac.assets["grid-era5_9km_daily"])
    assert weather.dimensions["time"].to_dict()["step"] == "P1DT0H0M0S"
    for asset in stac.assets.values():
        assert (item.parent / asset.href).exists()


def test_it_is_one_consolidated_store_with_text_and_pictures(item):
    folder = item.parent
    root = json.loads((folder / "cube.zarr" / "zarr.json").read_text())
    assert root["consolidated_metadata"]["metadata"]
    text = (folder / "README.md").read_text()
    assert "simulated" in text and "`s2_B04`" in text and "Apache-2.0" in text
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["simulated"] is True and origin["source"] == "cube.zarr"
    assert "seed 0" in origin["source_attributes"]["history"]
    pictures = list((folder / "quicklook").glob("*.png"))
    assert len(pictures) == 3 and all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    assert str(folder) not in text + json.dumps(origin) + item.read_text()


def test_damage_is_named(item, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(item.parent, folder)
    assert verify(folder) > 10
    chunk = max((p for p in (folder / "cube.zarr").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    with pytest.raises(PublishError, match="has changed"):
        open_published(folder, check=True)
    chunk.unlink()
    with pytest.raises(PublishError, match="is missing"):
        verify(folder)
    (folder / "new").write_text("")
    with pytest.raises(PublishError, match="not listed"):
        verify(folder)


def test_what_cannot_be_published_is_refused_and_leaves_nothing(cube, item, tmp_path, monkeypatch):
    import dataclasses

    silent = dataclasses.replace(cube, attrs={})
    with pytest.raises(PublishError, match="licence"):
        publish(silent, tmp_path / "x")

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("deepcube.cubes.publish.quick_looks", full)
    with pytest.raises(OSError):
        publish(cube, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PublishError, match="no STAC item"):
        open_published(tmp_path)
    outside = json.loads(item.read_text())
    outside["assets"]["data"]["href"] = "../../somewhere.zarr"
    (tmp_path / "item.json").write_text(json.dumps(outside))
    with pytest.raises(PublishError, match="names no Zarr store"):
        open_published(tmp_path)


def test_a_real_cube_is_published(shared_data, tmp_path):
    real = open_cube(shared_data / "bfast-modis" / "modisraster.tif", scale={})
    item = publish(real, tmp_path / "modis", licence="CC-BY-4.0", title="MODIS NDVI of southern Somalia")
    again = open_published(item, check=True)
    assert not again.simulated
    name = next(iter(real.variables))
    assert np.array_equal(again[name].to_numpy(), real[name].to_numpy(), equal_nan=True)
    assert pystac.Item.from_file(str(item)).properties["title"] == "MODIS NDVI of southern Somalia"


def test_the_command(cube, tmp_path):
    from click.testing import CliRunner

    from jobs.cli.publish import publish as command

    done = CliRunner().invoke(command, [cube.source, str(tmp_path / "out"), "--title", "Dry land"])
    assert done.exit_code == 0, done.output
    assert open_published(tmp_path / "out").attrs["title"] == "Dry land"
