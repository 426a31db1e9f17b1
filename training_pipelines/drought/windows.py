"""Windows of a minicube: what a network over space and time is given, and what came true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from deepcube.cubes import TimeSplit, last_observed, year_fraction
from features.drought.minicube import NO_VEGETATION, WEATHER, split_of
from training_pipelines.drought.data import Floats
from training_pipelines.studies import TrainingDataError

PATCH = 6
"""Pixels along a side of a patch."""

_COVERS = 8  # classes of land cover that become inputs, the most frequent
_CLIP = 5.0
_PLACES = ("seen", "elsewhere")


@dataclass(frozen=True)
class Reach:
    """How far a forecast looks, in steps.

    Attributes
    ----------
    context, horizon : int
        Steps that it knows, up to its origin, and steps that it forecasts.
    """

    context: int
    horizon: int

    @classmethod
    def of(cls, minicube: xr.Dataset) -> "Reach":
        """Return 70 steps for 20 ahead at five days, 50 for 10 at longer steps, and less context in a short cube.

        Raises
        ------
        TrainingDataError
            If the training period holds fewer than three horizons, or another part less than one.
        """
        horizon, context = (20, 70) if float(minicube.attrs["step_days"]) < 8 else (10, 50)
        split, times = split_of(minicube), minicube.indexes["time"]
        train = int((times < split.train_end).sum())
        others = [int(split.select(times, part).sum()) for part in ("validation", "test")]
        if train < 3 * horizon or min(others) < horizon:
            raise TrainingDataError(
                f"Found {train} steps to train on and {min(others)} in a later period; forecasts of {horizon} steps "
                f"need at least {3 * horizon} and {horizon}. Use a longer cube."
            )
        return cls(min(context, train - 2 * horizon), horizon)


@dataclass(frozen=True)
class Blocks:
    """Patches of a minicube around forecast origins.

    Attributes
    ----------
    inputs : numpy.ndarray of float32, shape (n, context + horizon, y, x, channels)
        What is known at the origin; observations are 0 after it.
    targets : numpy.ndarray of float32, shape (n, horizon, y, x)
        NDVI that came true; NaN where nothing was observed, and where nothing grows.
    persistence : numpy.ndarray of float32, shape (n, y, x)
        NDVI observed last; the climatology where there is none.
    """

    inputs: Floats
    targets: Floats
    persistence: Floats


@dataclass(frozen=True, eq=False)
class Planes:
    """A minicube as channels of inputs, normalised by its training period in the places seen in training.

    Attributes
    ----------
    observed : numpy.ndarray of float32, shape (time, y, x, channels)
        Known up to the origin only: the departure of NDVI from normal, whether there is one, bands, weather.
    known : numpy.ndarray of float32, shape (time, y, x, channels)
        Known at all times: normal NDVI, the season, terrain and land cover.
    carried : numpy.ndarray of float32, shape (time, y, x, 2)
        The departure seen last, and its age in tens of steps.
    truth, last : numpy.ndarray of float32, shape (time, y, x)
        NDVI to score by, NaN where nothing was seen or nothing grows; and NDVI seen last.
    names : tuple of str
        Names of the channels: observed, known and carried.
    deviation : float
        Spread of NDVI around normal in training: what departures are divided by.
    held_out : int
        First column of the places held out; the number of columns where there are none. The column before it is used
        for nothing.
    reach : Reach
        How far forecasts look.
    split : TimeSplit
        Periods of the targets.
    times : pandas.DatetimeIndex
        Dates of the steps.
    """

    observed: Floats
    known: Floats
    carried: Floats
    truth: Floats
    last: Floats
    names: tuple[str, ...]
    deviation: float
    held_out: int
    reach: Reach
    split: TimeSplit
    times: pd.DatetimeIndex

    @classmethod
    def of(cls, minicube: xr.Dataset) -> "Planes":
        """Turn a minicube into channels.

        Parameters
        ----------
        minicube : xarray.Dataset
            As made by :func:`features.drought.minicube.make_minicube`.

        Raises
        ------
        TrainingDataError
            If it is too short, or nothing was observed in training.
        """
        reach, split, times = Reach.of(minicube), split_of(minicube), pd.DatetimeIndex(minicube.indexes["time"])
        ndvi, normal = (minicube[name].values.astype(np.float64) for name in ("ndvi", "normal"))
        columns = ndvi.shape[2]
        held_out = columns - columns // 4 if columns >= 4 * PATCH else columns
        seen = slice(0, held_out - 1 if held_out < columns else columns)
        train = np.asarray(times < split.train_end)
        departure = ndvi - normal
        if not np.isfinite(departure[train][:, :, seen]).any():
            raise TrainingDataError("Found no NDVI in the training period of the minicube; expected some.")
        deviation = max(float(np.nanstd(departure[train][:, :, seen])), 1e-3)
        shape = ndvi.shape
        scaled = np.clip(departure / deviation, -_CLIP, _CLIP)
        observed = {"ndvi_departure": np.nan_to_num(scaled), "observed": np.isfinite(departure).astype(float)}
        for name in (str(key) for key in minicube.data_vars):
            if name.startswith("band_") or name in WEATHER:
                values = minicube[name].values.astype(np.float64)
                values = values if values.ndim == 3 else np.broadcast_to(values[:, None, None], shape)
                observed[name] = _standardised(values, values[train][:, :, seen])
        angle = 2 * np.pi * year_fraction(times)[:, None, None]
        known = {"normal": np.nan_to_num(normal), "season_sin": np.sin(angle), "season_cos": np.cos(angle)}
        known |= _ground(minicube, seen)
        flat, age = last_observed(departure.reshape(len(departure), -1))
        last, _ = last_observed(ndvi.reshape(len(ndvi), -1))
        carried = [
            np.nan_to_num(np.clip(flat / deviation, -_CLIP, _CLIP)),
            np.nan_to_num(np.clip(age, 0, 50), nan=50) / 10,
        ]
        return cls(
            _stacked(observed.values(), shape),
            _stacked(known.values(), shape),
            np.stack(carried, axis=-1).reshape(*shape, 2).astype(np.float32),
            np.where(_vegetated(minicube) & np.isfinite(normal), ndvi, np.nan).astype(np.float32),
            np.where(np.isnan(last), np.nan_to_num(normal).reshape(last.shape), last).reshape(shape).astype(np.float32),
            (*observed, *known, "departure_seen_last", "age_of_last"),
            deviation,
            held_out,
            reach,
            split,
            times,
        )

    @property
    def patch(self) -> tuple[int, int]:
        """Rows and columns of a patch."""
        return min(PATCH, self.truth.shape[1]), min(PATCH, self.truth.shape[2])

    def origins(self, part: str) -> npt.NDArray[np.int64]:
        """Return the forecast origins all of whose targets lie in a period; what they know may lie before it."""
        start = {
            "train": self.split.train_start,
            "validation": self.split.validation_start,
            "test": self.split.test_start,
        }
        end = {"train": self.split.train_end, "validation": self.split.test_start, "test": self.times[-1]}
        number = np.arange(self.reach.context - 1, len(self.times) - self.reach.horizon)
        first, last = self.times[number + 1], self.times[number + self.reach.horizon]
        late = last <= end[part] if part == "test" else last < end[part]
        return number[np.asarray((first >= start[part]) & late)]

    def places(self, where: str) -> list[tuple[int, int]]:
        """Return the corners of patches that do not overlap, in the places ``seen`` in training or ``elsewhere``."""
        rows, columns = self.truth.shape[1:]
        high, wide = self.patch
        first, stop = (0, self.held_out - (self.held_out < columns)) if where == "seen" else (self.held_out, columns)
        return [
            (row, column) for row in range(0, rows - high + 1, high) for column in range(first, stop - wide + 1, wide)
        ]

    def random(self, part: str, count: int, seed: int) -> Blocks:
        """Draw patches anywhere in the places seen in training."""
        random, (high, wide) = np.random.default_rng(seed), self.patch
        rows, columns = self.truth.shape[1], self.held_out - (self.held_out < self.truth.shape[2])
        origins = random.choice(self.origins(part), count)
        corners = zip(
            random.integers(0, rows - high + 1, count), random.integers(0, columns - wide + 1, count), strict=True
        )
        return self.blocks(list(zip(origins, corners, strict=True)))

    def every(self, part: str, where: str, most: int) -> tuple[Blocks, list[tuple[int, tuple[int, int]]]]:
        """Return all patches of some places, at as many origins, evenly apart, as keep their number below a limit."""
        places, origins = self.places(where), self.origins(part)
        count = max(1, min(len(origins), most // max(1, len(places))))
        chosen = origins[np.unique(np.linspace(0, len(origins) - 1, count).round().astype(int))]
        windows = [(int(origin), place) for origin in chosen for place in places]
        return self.blocks(windows), windows

    def blocks(self, windows: Sequence[tuple[int, tuple[int, int]]]) -> Blocks:
        """Cut out windows, each an origin and the corner of a patch."""
        context, horizon = self.reach.context, self.reach.horizon
        parts: list[tuple[Any, Any, Any]] = []
        for origin, (row, column) in windows:
            box = (slice(row, row + self.patch[0]), slice(column, column + self.patch[1]))
            span, future = slice(origin - context + 1, origin + horizon + 1), slice(origin + 1, origin + horizon + 1)
            observed = self.observed[(span, *box)].copy()
            observed[context:] = 0.0
            carried = self.carried[(span, *box)].copy()
            carried[context:] = self.carried[(origin, *box)]
            inputs = np.concatenate([observed, self.known[(span, *box)], carried], axis=-1)
            parts.append((inputs, self.truth[(future, *box)], self.last[(origin, *box)]))
        return Blocks(*(np.stack(part) for part in zip(*parts, strict=True)))


def climatology(planes: Planes, blocks: Blocks) -> Floats:
    """Return normal NDVI at the targets, shape (n, horizon, y, x)."""
    return blocks.inputs[:, planes.reach.context :, :, :, planes.names.index("normal")]


def _ground(minicube: xr.Dataset, seen: slice) -> dict[str, Any]:
    """Return channels of the terrain and, one each, of the most frequent classes of land cover."""
    found: dict[str, Any] = {}
    if "elevation" in minicube:
        height = minicube["elevation"].values.astype(np.float64)
        found["elevation"] = _standardised(height, height[:, seen])[None]
    if "land_cover" in minicube:
        cover = minicube["land_cover"].values
        classes, counts = np.unique(cover[:, seen][np.isfinite(cover[:, seen])], return_counts=True)
        for one in classes[np.argsort(-counts, kind="stable")][:_COVERS]:
            found[f"land_cover_{one:g}"] = (cover == one).astype(float)[None]
    return found


def _vegetated(minicube: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Tell pixels where something grows, as far as the land cover says so."""
    if "land_cover" in minicube and minicube["land_cover"].attrs.get("product") == "esawc_lc":
        return ~np.isin(minicube["land_cover"].values, NO_VEGETATION)
    return np.ones(minicube["ndvi"].shape[1:], bool)


def _standardised(values: npt.NDArray[np.float64], training: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standardise by the training part; 0 where unknown."""
    if not np.isfinite(training).any():
        return np.zeros_like(values)
    spread = float(np.nanstd(training))
    scaled = (values - np.nanmean(training)) / (spread if spread > 1e-6 else 1.0)
    return np.nan_to_num(np.clip(scaled, -_CLIP, _CLIP))


def _stacked(channels: Any, shape: tuple[int, ...]) -> Floats:
    return np.stack([np.broadcast_to(one, shape) for one in channels], axis=-1).astype(np.float32)
