"""Wrapped interferograms of volcanoes that deform, or not, seen through the atmosphere."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from deepcube.cubes.simulate.atmosphere import Troposphere, stratified_delay, turbulent_delay
from deepcube.cubes.simulate.fields import Floats, power_law_spectrum, stream
from deepcube.cubes.simulate.okada import mogi, rectangle
from deepcube.cubes.simulate.registry import Report, Simulator
from deepcube.cubes.simulate.store import Field, SimulatedStore

KINDS = ("none", "mogi", "dyke", "sill")
"""Classes of activity, in the order of their codes."""

_PATCH = ("patch", "y", "x")
_BLOCK = 32


@dataclass(frozen=True)
class InterferogramParameters:
    """Parameters of the interferograms.

    Attributes
    ----------
    patches, side : int
        Number of patches; pixels along a side.
    pixel : float
        Pixel side in m.
    wavelength : float
        Of the radar in m (Sentinel-1: 0.0555).
    incidence, heading : float
        Degrees: of the line of sight from the vertical, and of the flight from north (alternately ascending with this
        heading and descending with its mirror image).
    shares : tuple of float
        Share of each class of :data:`KINDS`.
    turbulence : float
        Largest standard deviation of the turbulent delay, m; every patch draws its own below.
    stratification : float
        Standard deviation of the layered delay in m per km of height.
    smoothing : float
        Longest reach in m of the filter that products have gone through (as Goldstein's), by standard deviation.
    orbits : float
        Standard deviation of what inexact orbits add across a patch, m.
    seams : float
        Share of patches that a seam of the processing runs through, with a step in phase.
    noise : float
        Standard deviation of the phase noise in rad where coherence is full.
    visible : float
        Displacement along the line of sight, m, from which a pixel belongs to the mask; a quarter fringe by default.
    relief : float
        Height of the largest volcano in m.
    """

    patches: int = 512
    side: int = 224
    pixel: float = 100.0
    wavelength: float = 0.0555
    incidence: float = 39.0
    heading: float = -12.0
    shares: tuple[float, ...] = (0.5, 0.2, 0.15, 0.15)
    turbulence: float = 0.016
    stratification: float = 0.012
    smoothing: float = 600.0
    orbits: float = 0.02
    seams: float = 0.15
    noise: float = 0.25
    visible: float = 0.0555 / 8
    relief: float = 2500.0


def wrap(phase: ArrayLike) -> NDArray[np.float64]:
    """Return a phase in rad brought to ``[-pi, pi)``."""
    return np.asarray((np.asarray(phase, dtype=float) + np.pi) % (2 * np.pi) - np.pi)


def line_of_sight(incidence: float, heading: float) -> tuple[float, float, float]:
    """Return the unit vector from the ground to a right-looking radar, as east, north and up.

    Parameters
    ----------
    incidence : float
        Angle from the vertical, degrees.
    heading : float
        Azimuth of the flight, degrees clockwise from north.
    """
    i, h = np.deg2rad(incidence), np.deg2rad(heading)
    return float(-np.sin(i) * np.cos(h)), float(np.sin(i) * np.sin(h)), float(np.cos(i))


def displacement(source: dict[str, Any], east: Floats, north: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the displacement (east, north, up) in m by a source as :func:`draw_source` describes it."""
    e, n = east - source["east"], north - source["north"]
    if source["kind"] == "mogi":
        return mogi(e, n, source["depth"], source["volume"])
    keys = ("depth", "strike", "dip", "length", "width", "opening")
    return rectangle(e, n, **{key: source[key] for key in keys})


def draw_source(kind: str, reach: float, generator: np.random.Generator) -> dict[str, Any]:
    """Draw a plausible source of a kind; its place is within ``reach`` m of the centre, east and north.

    Depths and sizes follow what InSAR has seen (Biggs and Pritchard, Elements 13, 17-22, 2017), so that every source
    makes at least about a fringe.
    """
    place = {"kind": kind, "east": generator.uniform(-reach, reach), "north": generator.uniform(-reach, reach)}
    if kind == "mogi":
        depth = generator.uniform(1000, 6000)
        sign = 1.0 if generator.random() < 0.7 else -1.0
        uplift = sign * math.exp(generator.uniform(math.log(0.03), math.log(0.4)))
        return {**place, "depth": depth, "volume": uplift * math.pi * depth**2 / 0.75}
    length = generator.uniform(2000, 6000)
    if kind == "sill":
        shape = {"depth": generator.uniform(1000, 4500), "dip": generator.uniform(0, 10)}
        return {
            **place,
            **shape,
            "strike": generator.uniform(0, 360),
            "length": length,
            "width": generator.uniform(0.5, 1.0) * length,
            "opening": math.exp(generator.uniform(math.log(0.15), math.log(1.5))),
        }
    width, top = generator.uniform(1500, 4000), generator.uniform(300, 1500)
    return {
        **place,
        "depth": top + width / 2,
        "dip": generator.uniform(75, 90),
        "strike": generator.uniform(0, 360),
        "length": length,
        "width": width,
        "opening": math.exp(generator.uniform(math.log(0.3), math.log(3.0))),
    }


def make_patch(p: InterferogramParameters, seed: int, number: int) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Make one patch.

    Parameters
    ----------
    p : InterferogramParameters
        Parameters of the set.
    seed, number : int
        Seed of the set and number of the patch; together they fix all values.

    Returns
    -------
    layers : dict of str to numpy.ndarray, shape (side, side)
        ``phase`` (wrapped, rad), ``mask``, ``coherence``, ``elevation``; and the truth ``deformation``,
        ``turbulent_delay``, ``stratified_delay``, ``processing_error`` (m along the line of sight) and ``noise`` (rad):
        ``phase = wrap(4 pi / wavelength * (deformation + delays + processing_error) + noise)``.
    record : dict
        Kind, source, geometry and strengths.
    """
    generator = stream(seed, 400, number)
    shares = np.asarray(p.shares) / np.sum(p.shares)
    kind = str(generator.choice(KINDS, p=shares))
    half = p.side * p.pixel / 2
    axis = (np.arange(p.side) + 0.5) * p.pixel - half
    east, north = np.meshgrid(axis, -axis)
    shape = (p.side, p.side)
    elevation = _volcano(p, east, north, generator)
    heading = p.heading if generator.random() < 0.5 else 180 - p.heading
    look = line_of_sight(p.incidence, heading)
    source: dict[str, Any] = {"kind": "none"}
    towards = np.zeros(shape)
    if kind != "none":
        source = draw_source(kind, 0.75 * half, generator)
        towards = sum((u * part for u, part in zip(displacement(source, east, north), look, strict=True)), towards)
    air = Troposphere(
        exponent=float(generator.uniform(8 / 3, 11 / 3)),
        turbulent=float(generator.uniform(0.2, 1.0) ** 2 * p.turbulence),
        stratified=float(generator.normal(0, p.stratification)),
    )
    turbulent, layered = turbulent_delay(shape, p.pixel, air, generator), stratified_delay(elevation, air)
    turbulent = gaussian_filter(turbulent, generator.uniform(0, p.smoothing) / p.pixel)
    processing = _processing_error(p, np.asarray(axis / half, dtype=float), generator)
    coherence = _coherence(shape, generator)
    noise = generator.standard_normal(shape) * p.noise * np.sqrt(1 / coherence**2 - 0.99) / 0.5
    total = -towards + turbulent + layered + processing  # moving towards the radar shortens the path
    phase = wrap(4 * np.pi / p.wavelength * total + noise)
    layers = {
        "phase": phase,
        "mask": (np.abs(towards) >= p.visible).astype(float),
        "coherence": coherence,
        "elevation": elevation,
        "deformation": -towards,
        "turbulent_delay": turbulent,
        "stratified_delay": layered,
        "processing_error": processing,
        "noise": noise,
    }
    record = {
        **source,
        "heading": heading,
        "turbulent_m": air.turbulent,
        "stratified_m_per_km": air.stratified,
        "largest_m": float(np.abs(towards).max()),
        "masked_pixels": int(layers["mask"].sum()),
    }
    return layers, record


def _volcano(p: InterferogramParameters, east: Floats, north: Floats, generator: np.random.Generator) -> Floats:
    """Return the height of a cone with a rough surface, in m."""
    height, foot = generator.uniform(0.25, 1.0) * p.relief, generator.uniform(0.25, 0.5) * p.side * p.pixel
    east0, north0 = generator.uniform(-0.15, 0.15, 2) * p.side * p.pixel
    distance = np.hypot(east - east0, north - north0)
    shape = (east.shape[0], east.shape[1])
    rough = power_law_spectrum(shape, 3.7).draw(generator)
    return np.maximum(height * np.exp(-distance / foot * 1.5) + 0.06 * p.relief * rough, 0.0)


def _processing_error(p: InterferogramParameters, axis: Floats, generator: np.random.Generator) -> Floats:
    """Return what orbits and the merging of bursts add, in m: a plane, and a step along a straight seam."""
    x, y = np.meshgrid(axis, -axis)  # -1 to 1
    a, b = generator.normal(0, p.orbits / 2, 2) * generator.random()
    error = a * x + b * y
    seam, azimuth = generator.random() < p.seams, generator.uniform(0, 2 * np.pi)
    place, step, tilt = generator.uniform(-0.7, 0.7), generator.uniform(-0.5, 0.5), generator.normal(0, p.orbits / 2)
    beyond = x * np.cos(azimuth) + y * np.sin(azimuth) - place
    return np.asarray(error + seam * (beyond > 0) * (step * p.wavelength / 2 + tilt * beyond))


def _coherence(shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Return coherence 0.02 to 0.99: patches of vegetation, snow or water lose it, of any extent."""
    length = shape[0] * np.exp(generator.uniform(np.log(0.015), np.log(0.15)))
    field = gaussian_filter(generator.standard_normal(shape), length)
    field = field / field.std()
    lost, sharpness = generator.uniform(-1.5, 3.5), np.exp(generator.uniform(np.log(1.5), np.log(12.0)))
    return np.clip(0.99 / (1 + np.exp(np.clip(sharpness * (field - lost), -50, 50))), 0.02, 0.99)


def run(folder: Path, parameters: InterferogramParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate patches into ``patches.zarr`` and the truth into ``truth.zarr`` and ``labels.parquet``."""
    attrs = {
        "title": "Wrapped interferograms of volcanoes",
        "source": "simulator interferograms of deepcube",
        "history": f"simulated with seed {seed}",
        "license": "Apache-2.0",
    }
    data, truth = SimulatedStore(folder / "patches.zarr", attrs), SimulatedStore(folder / "truth.zarr", attrs)
    axis = (np.arange(parameters.side) + 0.5) * parameters.pixel
    coordinates = {"patch": np.arange(parameters.patches), "y": axis[::-1], "x": axis}
    chunks = {"patch": _BLOCK}
    classes = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(KINDS)}
    data.add_grid("", coordinates, [
        Field("phase", "rad", "wrapped interferometric phase", dims=_PATCH),
        Field("coherence", "1", "interferometric coherence", dims=_PATCH),
        Field("elevation", "m", "height", dims=_PATCH),
        Field("mask", "1", "visible deformation", dims=_PATCH, dtype="uint8", kind="categorical"),
        Field("label", "1", "kind of activity", dims=("patch",), dtype="uint8", kind="categorical", attrs=classes),
    ], chunks=chunks)  # fmt: skip
    truth.add_grid("", coordinates, [
        Field("deformation", "m", "displacement away from the radar", dims=_PATCH),
        Field("turbulent_delay", "m", "turbulent tropospheric delay", dims=_PATCH),
        Field("stratified_delay", "m", "stratified tropospheric delay", dims=_PATCH),
        Field("processing_error", "m", "orbital ramp and seam of the processing", dims=_PATCH),
        Field("noise", "rad", "phase noise", dims=_PATCH),
    ], chunks=chunks)  # fmt: skip
    records = []
    for first in range(0, parameters.patches, _BLOCK):
        made = [make_patch(parameters, seed, i) for i in range(first, min(first + _BLOCK, parameters.patches))]
        records += [record for _, record in made]
        block = {name: np.stack([layers[name] for layers, _ in made]) for name in made[0][0]}
        block["label"] = np.array([KINDS.index(record["kind"]) for _, record in made])
        for store, names in (
            (data, ("phase", "coherence", "elevation", "mask", "label")),
            (truth, ("deformation", "turbulent_delay", "stratified_delay", "processing_error", "noise")),
        ):
            store.write("", {name: block[name] for name in names}, first)
        report((first + len(made)) / parameters.patches)
    data.close()
    truth.close()
    pd.DataFrame(records).assign(patch=range(len(records)), simulated=True).to_parquet(folder / "labels.parquet")
    return {"data": "patches.zarr", "truth": "truth.zarr", "labels": "labels.parquet", "classes": list(KINDS)}


SIMULATOR = Simulator(
    name="interferograms",
    title="Wrapped interferogram patches: Mogi, dyke and sill through turbulent and stratified air",
    parameters=InterferogramParameters(),
    sizes={
        "tiny": {"patches": 12, "side": 64, "pixel": 300.0},
        "small": {},
        "full": {"patches": 20000},
    },
    run=run,
)
"""The simulator, as the registry finds it."""
