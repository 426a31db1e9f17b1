"""Where NDVI comes from: the sample, a simulated cube or any cube with NDVI, or a red and a near infrared band."""

import importlib.resources
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import (
    SCL_LAND,
    Cube,
    CubeNotFoundError,
    Grid,
    ScaleError,
    Steps,
    TimeSplit,
    UnknownVariableError,
    check_valid,
    composite,
    native_steps,
    ndvi,
    open_cube,
    pixel_cells,
    regular_step,
    scl_clear,
    slug,
    window_steps,
)
from features.drought.schema import time_split
from features.drought.tables import Block
from features.drought.weather import Weather, find_weather

SAMPLE = "sample"
"""Name of the offline sample: the real Sentinel-2 minicube inside the wheel of nrt."""

SAMPLE_CUBE = "romania_s2"
"""Name of the cube that the sample becomes."""

SIMULATED = "simulated"
"""Name of the simulated source: Sentinel-2 every 5 days and daily weather, each on its own grid."""

SIMULATED_CUBE = "simulated_drought"
"""Name of the cube that it becomes."""

_SIMULATION: dict[str, Any] = {"seed": 0, "size": "small", "side": 24}

STEP = pd.Timedelta(days=10)
"""Step that cubes without a regular axis, or with a finer one, are composited to."""

BLOCK_VALUES = 2_000_000
"""Acquisitions times pixels that are held in memory at once."""

_RED = ("b4", "b04", "red", "s2_b04")
_NIR = ("b8a", "b8", "b08", "nir", "s2_b8a")
_CLEAR: dict[str, Callable[[NDArray], NDArray[np.bool_]]] = {
    "scl": partial(scl_clear, classes=SCL_LAND),
    "s2_scl": partial(scl_clear, classes=SCL_LAND),
    "s2_mask": lambda mask: mask == 0,  # EarthNet minicubes: 0 clear, 1 cloud, 2 shadow, 3 snow, 4 masked by SCL
    "clm": lambda mask: mask == 0,  # eo-learn: 1 cloud, 255 no data
    "is_data": lambda mask: mask == 1,
}
_NAMED = {SAMPLE: SAMPLE_CUBE, SIMULATED: SIMULATED_CUBE}
_SCALED_RANGE = (-2000.0, 10000.0)
_SCALE = 1e-4


@dataclass(frozen=True, eq=False)
class NdviSource:
    """A cube that NDVI can be read from, checked from end to end.

    Attributes
    ----------
    cube : Cube
        The opened cube.
    grid : Grid
        The grid that NDVI lies on.
    inputs : tuple of str
        The NDVI variable, or the red and the near infrared band.
    masks : tuple of str
        Variables that tell clear from unclear pixels; may be empty.
    scale : float
        Factor from stored to physical NDVI, 1 or 0.0001.
    steps : Steps
        Time axis of the features.
    split : TimeSplit
        Training, validation and test periods of the forecast origins.
    cell_id : numpy.ndarray of int64, shape (y, x)
        Cell of each pixel.
    level : int
        Level of the cells.
    weather : Weather or None
        Departures of the weather from normal, if the cube has weather.
    """

    cube: Cube
    grid: Grid
    inputs: tuple[str, ...]
    masks: tuple[str, ...]
    scale: float
    steps: Steps
    split: TimeSplit
    cell_id: NDArray[np.int64]
    level: int
    weather: Weather | None = None

    def blocks(self) -> Iterator[Block]:
        """Yield the cube block by block of rows, read and composited; every pixel is in exactly one block."""
        longitude, latitude = self.grid.longitude_latitude()
        columns = np.arange(self.grid.shape[1])
        for rows in _row_blocks(self.grid):
            acquired = read_ndvi(self.cube, self.inputs, self.masks, self.scale, rows)
            values, fraction = composite(acquired, self.steps)
            row, col = np.meshgrid(np.arange(rows.start, rows.stop), columns, indexing="ij")
            yield Block(
                cube=self.cube.name,
                steps=self.steps,
                split=self.split,
                ndvi=values.reshape(len(values), -1),
                valid_fraction=fraction.reshape(len(fraction), -1),
                cell_id=self.cell_id[rows].ravel(),
                longitude=longitude[rows].ravel(),
                latitude=latitude[rows].ravel(),
                row=row.ravel(),
                col=col.ravel(),
                weather=self.weather.at(self.grid, rows) if self.weather else {},
            )

    def __len__(self) -> int:
        return len(_row_blocks(self.grid))


def cube_name(source: str) -> str:
    """Return the name that the cube of a source gets in the feature store."""
    return _NAMED[source] if source in _NAMED else slug(Path(source).stem)


def open_source(source: str, folder: Path | None = None) -> NdviSource:
    """Open a source and check everything that could go wrong later, without keeping its values in memory.

    Parameters
    ----------
    source : str
        ``"sample"``, ``"simulated"``, or the path of a cube that :func:`deepcube.cubes.open_cube` reads and that has
        a variable NDVI, or a red and a near infrared band (Sentinel-2 names such as B4 and B8A, or red and nir), with
        or without a scene classification or cloud mask. A cube with one variable of any name in a GeoTIFF stack counts
        as NDVI.
    folder : pathlib.Path, optional
        Where ``"simulated"`` is made; it has to stay while blocks are read. Unused for other sources.

    Returns
    -------
    NdviSource
        The checked source.

    Raises
    ------
    deepcube.cubes.CubeError
        One of its kinds, for whatever is wrong with the cube.
    """
    path: str | Path = source
    if source == SAMPLE:
        path = _sample_path()
    elif source == SIMULATED:
        path = _simulate(folder)
    cube = open_cube(path, name=cube_name(source))
    inputs = _find_inputs(cube)
    grid = cube.grid_of(inputs[0])
    present = {variable.name.lower(): key for key, variable in cube.variables.items() if cube.grid_of(key) is grid}
    masks = tuple(present[name] for name in _CLEAR if name in present)
    steps = _steps(grid.times)
    split = time_split(steps.times)
    cell_id, level = pixel_cells(*grid.longitude_latitude())
    scale = _survey(cube, grid, inputs, masks, split.train_end)
    weather = find_weather(cube, steps, split)
    return NdviSource(cube, grid, inputs, masks, scale, steps, split, cell_id, level, weather)


def _simulate(folder: Path | None) -> Path:
    """Make the simulated cube, the same one every time."""
    if folder is None:
        raise CubeNotFoundError(
            f"Found no folder to make the source {SIMULATED!r} in; expected one. Pass it to open_source(), or the path "
            "of a cube that `deepcube simulate drought` has made."
        )
    from deepcube.cubes.simulate import simulate  # heavy, and other sources need none of it

    return simulate("drought", folder / SIMULATED_CUBE, **_SIMULATION).data


def _sample_path() -> Path:
    try:
        package = importlib.resources.files("nrt")  # the package itself is empty; its heavy modules are not imported
    except ModuleNotFoundError as error:
        raise CubeNotFoundError(
            "The offline sample is part of the package nrt, which is not installed; install deepcube[cubes]."
        ) from error
    return Path(str(package)) / "data" / "sentinel2_cube_subset_romania_20m.nc"


def _find_inputs(cube: Cube) -> tuple[str, ...]:
    """Return the variable that is NDVI, or the two bands to compute it from."""
    varying: dict[str, str] = {}
    for key in sorted(cube.variables, key=lambda key: -cube.grid_of(key).dataset.sizes.get("y", 0)):  # most rows first
        if {"time", "y", "x"} <= {*cube.variables[key].dims}:
            name = cube.variables[key].name.lower()
            varying.setdefault("ndvi" if name.endswith(" days ndvi") else name, key)  # MODIS: "1 km 16 days NDVI"
    if "ndvi" in varying:
        return (varying["ndvi"],)
    red, nir = (next((varying[name] for name in names if name in varying), None) for names in (_RED, _NIR))
    if red and nir and cube.grid_of(red) is cube.grid_of(nir):
        return (red, nir)
    if list(varying.values()) == [cube.name]:  # a stack whose bands have dates but no name
        return (cube.name,)
    raise UnknownVariableError(
        f"Cube {cube.name!r} has {', '.join(sorted(cube.variables))}; expected a variable NDVI, or a red (B4, red) and "
        "a near infrared band (B8A, B8, nir) on one grid, varying in time. Rename the variables of the cube."
    )


def _steps(times: pd.DatetimeIndex) -> Steps:
    """Keep the cube's own axis where it is regular and no finer than a week; composite it otherwise."""
    length = regular_step(times)
    if length is not None and length >= pd.Timedelta(days=7):
        return native_steps(times)
    return window_steps(times, STEP)


def _row_blocks(grid: Grid) -> list[slice]:
    rows, cols = grid.shape
    height = max(1, BLOCK_VALUES // (cols * len(grid.times)))
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def read_ndvi(
    cube: Cube, inputs: tuple[str, ...], masks: tuple[str, ...], scale: float, rows: slice
) -> NDArray[np.float64]:
    """Read NDVI of some rows at all acquisitions, shape (acquisitions, rows, x); unclear pixels are NaN."""
    bands = [cube[name].isel(y=rows).to_numpy().astype(float) for name in inputs]
    values = ndvi(*bands) if len(bands) == 2 else _scaled(bands[0], scale)
    values[~read_clear(cube, masks, rows, values.shape)] = np.nan
    return values


def read_clear(cube: Cube, masks: tuple[str, ...], rows: slice, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell clear pixels of some rows at all acquisitions; without masks, all ``shape`` (acquisitions, rows, x) are."""
    clear = np.ones(shape, bool)
    for name in masks:
        clear &= _CLEAR[name.lower()](cube[name].isel(y=rows).to_numpy())
    return clear


def _scaled(stored: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Apply the scale of MODIS products, whose valid stored range is -2000 to 10000 (MOD13 user guide), or none."""
    if scale == 1:
        return stored
    low, high = _SCALED_RANGE
    return np.where((stored >= low) & (stored <= high), stored * scale, np.nan)


def _survey(cube: Cube, grid: Grid, inputs: tuple[str, ...], masks: tuple[str, ...], train_end: pd.Timestamp) -> float:
    """Read the whole cube once; return the scale of NDVI and refuse a cube that no climatology can be fitted on.

    Raises
    ------
    ScaleError
        If values fit neither NDVI from -1 to 1 nor NDVI times 10,000.
    NoValidDataError
        If everything is a gap, or everything in the training period.
    """
    name, training = " and ".join(inputs), np.asarray(grid.times < train_end)
    low, high = np.inf, -np.inf
    count = {1.0: 0, _SCALE: 0}
    for rows in _row_blocks(grid):
        values = read_ndvi(cube, inputs, masks, 1.0, rows)
        for scale in count:
            count[scale] += int(np.isfinite(_scaled(values[training], scale)).sum())
        if np.isfinite(values).any():
            low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
    check_valid(int(low <= high), name, f"Cube {cube.name!r}")
    scale = _scale(low, high, f"{name} of cube {cube.name!r}")
    check_valid(count[scale], name, f"The training period of cube {cube.name!r}, up to {train_end:%Y-%m-%d},")
    return scale


def _scale(low: float, high: float, what: str) -> float:
    """Tell stored NDVI from NDVI times 10,000 by its range."""
    if low >= -1 and high <= 1:
        return 1.0
    if high > _SCALED_RANGE[1] or high <= 100:
        raise ScaleError(
            f"{what} ranges from {low:g} to {high:g}; expected NDVI from -1 to 1, or times 10,000 as in MODIS "
            "products. Write the scale factor into the file."
        )
    return _SCALE
