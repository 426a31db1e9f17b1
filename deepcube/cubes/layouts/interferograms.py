"""Interferograms: GeoTIFF files of two dates each, so that images are numbered by pair, not by time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core import indexing

from deepcube.cubes.conventions import is_simulated, parse_crs
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.geotiff import Layer, LayerStack
from deepcube.cubes.model import Grid, Opened

_PAIR = re.compile(r"(?<!\d)((?:19|20)\d{6})[-_]((?:19|20)\d{6})(?!\d)")
_NAMES = (
    (re.compile("unw"), "unwrapped_phase", "rad", "unwrapped phase"),
    (re.compile("(^|[_.])(cc|coh|coherence)([_.]|$)"), "coherence", "1", "interferometric coherence"),
    (re.compile("(diff_pha|wrap|ifg|pha)"), "wrapped_phase", "rad", "wrapped phase"),
)


def pair_of(path: Path) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    """Return the two dates in the name of an interferogram; None if there are not two."""
    match = _PAIR.search(path.stem)
    if match is None:
        return None
    try:
        return pd.Timestamp(match.group(1)), pd.Timestamp(match.group(2))
    except ValueError:
        return None


def open_interferograms(paths: Sequence[Path], crs: Any = None) -> Opened:
    """Open GeoTIFF files of interferograms and what belongs to them.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Files of one grid: those with two dates in their names, and static ones such as a DEM.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one in the files.

    Returns
    -------
    Opened
        One grid with the dimensions ``(pair, y, x)``; coordinates ``primary_date`` and ``secondary_date`` of the pairs.

    Raises
    ------
    NotACubeError
        If files differ in size or place, repeat a pair, or are damaged.
    """
    import rasterio  # loads much that other cubes do without
    from rasterio.errors import RasterioError

    layers: dict[str, dict[tuple[pd.Timestamp, pd.Timestamp] | None, Layer]] = {}
    first, simulated = None, False
    for path in paths:
        try:
            with rasterio.open(path) as file:
                here = (file.height, file.width, tuple(file.transform)[:6], file.crs.to_wkt() if file.crs else None)
                nodata, dtype, tags = file.nodata, file.dtypes[0], file.tags()
        except RasterioError as error:
            raise NotACubeError(f"{path} is not a readable GeoTIFF ({error}). Check that it is complete.") from error
        first = first or here
        if here != first:
            raise NotACubeError(
                f"{path.name} has grid {here[:3]}, but {paths[0].name} has {first[:3]}; expected one grid."
            )
        simulated |= is_simulated({key.lower(): value for key, value in tags.items()})
        pair = pair_of(path)
        name, attrs = _named(path, pair)
        if nodata is not None:
            attrs["_FillValue"] = np.dtype(dtype).type(nodata)
        known = layers.setdefault(name, {})
        if pair in known:
            raise NotACubeError(f"{path.name} repeats {name} of {pair}; expected every pair once.")
        known[pair] = Layer(str(path), 1, name, pair[1] if pair else pd.Timestamp(0), attrs, dtype)
    assert first is not None
    pairs = sorted({pair for known in layers.values() for pair in known if pair is not None})
    variables = {name: _stack(known, pairs, first[:2]) for name, known in layers.items()}
    a, _, c, _, e, f = first[2]
    coordinates = {
        "primary_date": ("pair", pd.DatetimeIndex([pair[0] for pair in pairs])),
        "secondary_date": ("pair", pd.DatetimeIndex([pair[1] for pair in pairs])),
        "y": f + e * (np.arange(first[0]) + 0.5),
        "x": c + a * (np.arange(first[1]) + 0.5),
    }
    system = parse_crs(crs) if crs is not None else parse_crs(first[3]) if first[3] else None
    return Opened([Grid("pairs", xr.Dataset(variables, coordinates), system)], {"simulated": True} if simulated else {})


def _named(path: Path, pair: Any) -> tuple[str, dict[str, Any]]:
    stem = path.stem.lower()
    if pair is None:
        if "dem" in stem or "hgt" in stem:
            return "dem", {"units": "m", "long_name": "elevation"}
        return re.sub(r"\W+", "_", stem), {}
    for pattern, name, units, title in _NAMES:
        if pattern.search(stem):
            return name, {"units": units, "long_name": title}
    return "interferogram", {}


def _stack(known: dict[Any, Layer], pairs: list[Any], shape: tuple[int, int]) -> xr.Variable:
    if None in known:
        lazy: Any = indexing.LazilyIndexedArray(LayerStack([known[None]], shape))
        variable = xr.Variable(("pair", "y", "x"), lazy, known[None].attrs)
        return xr.conventions.decode_cf_variable("static", variable)[0]
    missing = [pair for pair in pairs if pair not in known]
    if missing:
        name = next(iter(known.values())).variable
        raise NotACubeError(f"{name} lacks {len(missing)} of {len(pairs)} pairs, the first {missing[0]}; expected all.")
    held = [known[pair] for pair in pairs]
    variable = xr.Variable(("pair", "y", "x"), indexing.LazilyIndexedArray(LayerStack(held, shape)), held[0].attrs)
    return xr.conventions.decode_cf_variable(held[0].variable, variable)
