"""Small cubes written to disk in each format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers the accessor that writes a CRS)
import xarray as xr
from rasterio.transform import from_origin

WriteTiff = Callable[..., Path]


@pytest.fixture
def write_tiff(tmp_path: Path) -> WriteTiff:
    """Return a function that writes an array (band, y, x) as a GeoTIFF."""

    def write(
        name: str,
        values: np.ndarray,
        descriptions: Sequence[str | None] | None = None,
        *,
        crs: str | None = "EPSG:32637",
        origin: tuple[float, float] = (500_000.0, 1_000_000.0),
        nodata: float | None = None,
        scale: float | None = None,
        units: str | None = None,
        tags: dict[str, str] | None = None,
        band_tags: Sequence[dict[str, str]] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bands, height, width = values.shape
        profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype, "nodata": nodata}
        with rasterio.open(
            path, "w", driver="GTiff", crs=crs, transform=from_origin(*origin, 30, 30), **profile
        ) as out:
            out.write(values)
            out.update_tags(**(tags or {}))
            for band in range(1, bands + 1):
                if descriptions and descriptions[band - 1]:
                    out.set_band_description(band, descriptions[band - 1])
                if band_tags:
                    out.update_tags(band, **band_tags[band - 1])
            if scale is not None:
                out.scales = [scale] * bands
            if units is not None:
                out.units = [units] * bands
        return path

    return write


@pytest.fixture
def dataset() -> xr.Dataset:
    """Return a small dataset with continuous, categorical and count variables on a UTM grid."""
    rng = np.random.default_rng(7)
    times = pd.date_range("2020-01-01", periods=6, freq="10D")
    data = xr.Dataset(
        {
            "ndvi": (("time", "y", "x"), rng.uniform(-0.1, 0.9, (6, 4, 3)), {"units": "1", "long_name": "greenness"}),
            "SCL": (("time", "y", "x"), rng.integers(0, 12, (6, 4, 3)).astype("uint8")),
            "nobs": (("time", "y", "x"), rng.integers(0, 9, (6, 4, 3)).astype("int16")),
            "dem": (("y", "x"), rng.uniform(0, 900, (4, 3)), {"units": "m"}),
        },
        {"time": times, "y": 1_000_000.0 - 30 * np.arange(4), "x": 500_000.0 + 30 * np.arange(3)},
    )
    return data.rio.write_crs("EPSG:32637")


@pytest.fixture
def eopatch(tmp_path: Path) -> Path:
    """Write a small patch in the layout of eo-learn."""
    folder = tmp_path / "patch"
    rng = np.random.default_rng(3)
    arrays: dict[str, Any] = {
        "data/NDVI.npy": rng.uniform(0, 1, (3, 4, 5, 1)).astype("float32"),
        "data/BANDS.npy": rng.uniform(0, 1, (3, 4, 5, 2)).astype("float32"),
        "mask/CLM.npy": rng.integers(0, 2, (3, 4, 5, 1)).astype("uint8"),
        "data_timeless/DEM.npy": rng.uniform(0, 900, (4, 5, 1)).astype("float32"),
    }
    for name, values in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, values)
    ring = [[500_000, 0], [500_000, 80], [500_100, 80], [500_100, 0], [500_000, 0]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (folder / "bbox.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    (folder / "timestamps.json").write_text(json.dumps(["2020-01-01T10:00:00", "2020-01-06T10:00:00", "2020-01-11"]))
    return folder
