"""Displacement series of persistent scatterers: trends that change, seasons, noise that coherence explains."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deepcube.cubes.simulate.fields import Floats, stream
from deepcube.cubes.simulate.registry import Report, Simulator

CAUSES = ("none", "subsidence", "excavation", "rainfall")
"""What a change of trend comes from."""

YEAR = 365.25
"""Days in a year."""

_BLOCK = 4096


@dataclass(frozen=True)
class ScattererParameters:
    """Parameters of the displacement series.

    Attributes
    ----------
    points, epochs : int
        Number of points and of acquisitions.
    step_days, start : int, str
        Days between acquisitions and the first date.
    extent : float
        Side of the area in m.
    hotspots : int
        Places where ground moves, each with a cause, a date and a radius.
    moving_share : float
        Share of the points that lie near a hotspot.
    wavelength : float
        Of the radar in mm.
    season_mm : float
        Typical amplitude of the thermal season in mm.
    jump_share : float
        Share of points with one unwrapping error, a jump by half a wavelength.
    """

    points: int = 5000
    epochs: int = 260
    step_days: int = 7
    start: str = "2018-01-02"
    extent: float = 10_000.0
    hotspots: int = 6
    moving_share: float = 0.35
    wavelength: float = 55.5
    season_mm: float = 1.5
    jump_share: float = 0.02


def phase_noise(coherence: Floats, wavelength: float) -> Floats:
    """Return the standard deviation of a displacement in the unit of the wavelength.

    ``wavelength / (4 pi) * sqrt((1 - c**2) / (2 c**2))``: the phase variance of a point with coherence ``c`` for many
    looks (Rodriguez and Martin, IEE Proceedings F 139, 147-159, 1992).
    """
    return np.asarray(wavelength / (4 * np.pi) * np.sqrt((1 - coherence**2) / (2 * coherence**2)))


def trend(years: Floats, before: Floats, after: Floats, change: Floats) -> Floats:
    """Return a displacement that is continuous and changes its velocity once.

    Parameters
    ----------
    years : numpy.ndarray of float64, shape (epoch,)
        Times since the first epoch in years.
    before, after : numpy.ndarray of float64, shape (point,)
        Velocities in mm/yr.
    change : numpy.ndarray of float64, shape (point,)
        Time of the change in years; infinite for none.

    Returns
    -------
    numpy.ndarray of float64, shape (point, epoch)
        Displacement in mm, 0 at time 0.
    """
    since = np.maximum(years[None, :] - change[:, None], 0.0)
    return np.asarray(before[:, None] * years[None, :] + (after - before)[:, None] * since)


def run(folder: Path, parameters: ScattererParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate points into ``points.parquet`` and their truth into ``truth.parquet``, block by block."""
    p = parameters
    dates = pd.date_range(p.start, periods=p.epochs, freq=f"{p.step_days}D")
    years = np.arange(p.epochs) * p.step_days / YEAR
    places = _hotspots(p, seed, float(years[-1]))
    writers: list[pq.ParquetWriter | None] = [None, None]
    try:
        for number, first in enumerate(range(0, p.points, _BLOCK)):
            count = min(_BLOCK, p.points - first)
            tables = _block(p, stream(seed, 500, number), places, dates, years, first, count)
            for i, (table, name) in enumerate(zip(tables, ("points.parquet", "truth.parquet"), strict=True)):
                if writers[i] is None:
                    writers[i] = pq.ParquetWriter(folder / name, table.schema)
                writers[i].write_table(table)  # type: ignore[union-attr]
            report((first + count) / p.points)
    finally:
        for writer in writers:
            if writer is not None:
                writer.close()
    return {"data": "points.parquet", "truth": "truth.parquet", "hotspots": places, "crs": "EPSG:32633"}


def _hotspots(p: ScattererParameters, seed: int, span: float) -> list[dict[str, Any]]:
    generator = stream(seed, 501)
    places = []
    for number in range(p.hotspots):
        cause = CAUSES[1 + number % (len(CAUSES) - 1)]
        start = 0.0 if cause == "subsidence" and number % 2 else float(generator.uniform(0.25, 0.75) * span)
        places.append(
            {
                "hotspot": number + 1,
                "cause": cause,
                "easting": float(generator.uniform(0.1, 0.9) * p.extent),
                "northing": float(generator.uniform(0.1, 0.9) * p.extent),
                "radius": float(generator.uniform(0.03, 0.10) * p.extent),
                "velocity": float(-generator.uniform(6, 25)),
                "start_years": start,
            }
        )
    return places


def _block(
    p: ScattererParameters,
    generator: np.random.Generator,
    places: list[dict[str, Any]],
    dates: pd.DatetimeIndex,
    years: Floats,
    first: int,
    count: int,
) -> tuple[pa.Table, pa.Table]:
    """Return points and truth of a block."""
    near = generator.random(count) < (p.moving_share if places else 0.0)
    which = generator.integers(0, max(1, len(places)), count)
    columns = {key: np.array([place[key] for place in places] or [0.0]) for key in (
        "easting", "northing", "radius", "velocity", "start_years"
    )}  # fmt: skip
    distance = np.abs(generator.normal(0, 0.7, count)) * columns["radius"][which]
    angle = generator.uniform(0, 2 * np.pi, count)
    east = np.where(near, columns["easting"][which] + distance * np.cos(angle), generator.uniform(0, p.extent, count))
    north = np.where(near, columns["northing"][which] + distance * np.sin(angle), generator.uniform(0, p.extent, count))
    reach = np.hypot(east[:, None] - columns["easting"], north[:, None] - columns["northing"]) / columns["radius"]
    strength = np.exp(-(reach**2)) if places else np.zeros((count, 1))
    hotspot = strength.argmax(axis=1)
    felt = strength[np.arange(count), hotspot]
    gain = columns["velocity"][hotspot] * felt
    changes = np.abs(gain) > 1.0  # a change of less than a millimetre a year is none
    base = generator.normal(0, 0.4, count)
    start = np.where(changes, columns["start_years"][hotspot], np.inf)
    from_start = changes & (start == 0)
    before, after = base + np.where(from_start, gain, 0.0), base + np.where(changes, gain, 0.0)
    change = np.where(from_start, np.inf, start)
    amplitude, phase = generator.gamma(2.0, p.season_mm / 2, count), generator.normal(0.0, 0.4, count)
    season = amplitude[:, None] * np.cos(2 * np.pi * years[None, :] - phase[:, None])
    coherence = np.clip(generator.beta(8, 2, count), 0.3, 0.995)
    noise = generator.standard_normal((count, len(years))) * phase_noise(coherence, p.wavelength)[:, None]
    jumps = generator.random(count) < p.jump_share
    at = generator.integers(1, max(2, len(years)), count)
    jump = np.where(jumps, p.wavelength / 2 * generator.choice([-1.0, 1.0], count), 0.0)
    clean = trend(years, before, after, change)
    series = clean + season + noise + jump[:, None] * (np.arange(len(years))[None, :] >= at[:, None])
    series = series - series[:, :1]
    points = pd.DataFrame(
        {
            "pid": [f"P{first + i:07d}" for i in range(count)],
            "easting": 400_000 + east,
            "northing": 4_760_000 + north,
            "height": 200 + 60 * np.sin(east / 2300) * np.cos(north / 1900) + generator.exponential(8, count),
            "VEL": _slopes(years, series),
            "coherence": coherence,
        }
    )
    measured = pd.DataFrame(series.astype(np.float32), columns=[f"D{date:%Y%m%d}" for date in dates])
    epoch = np.where(np.isfinite(change), np.ceil(np.nan_to_num(change, posinf=0) * YEAR / p.step_days), -1).astype(int)
    truth = pd.DataFrame(
        {
            "pid": points["pid"],
            "velocity_before": before,
            "velocity_after": after,
            "change_epoch": epoch,
            "change_date": [dates[e] if 0 <= e < len(dates) else pd.NaT for e in epoch],
            "hotspot": np.where(changes, hotspot + 1, 0),
            "cause": [places[h]["cause"] if c else "none" for h, c in zip(hotspot, changes, strict=True)],
            "season_amplitude": amplitude,
            "season_phase": phase,
            "noise_mm": phase_noise(coherence, p.wavelength),
            "jump_mm": jump,
            "jump_epoch": np.where(jumps, at, -1),
        }
    )
    return _labelled(pd.concat([points, measured], axis=1)), _labelled(truth)


def _slopes(years: Floats, series: NDArray[np.float64]) -> Floats:
    """Return the least-squares slope of every row, mm per year."""
    centred = years - years.mean()
    return np.asarray(series @ centred / max(float(centred @ centred), math.ulp(1.0)))


def _labelled(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), b"simulated": b"true"})


SIMULATOR = Simulator(
    name="scatterers",
    title="Persistent scatterers: displacement series with changes of trend, seasons, noise and unwrapping errors",
    parameters=ScattererParameters(),
    sizes={"tiny": {"points": 300, "epochs": 120}, "small": {}, "full": {"points": 500_000}},
    run=run,
)
"""The simulator, as the registry finds it."""
