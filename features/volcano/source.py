"""Where interferograms come from: a simulation, or a folder of patches sorted into classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes import CubeNotFoundError, NotACubeError, slug
from features.volcano.image import (
    LOOKS,
    PIXELS,
    SIDE,
    Floats,
    InterferogramError,
    content_hash,
    phasor,
    read_interferogram,
)
from features.volcano.places import Position, locate_pixel

SIMULATED = "simulated"
"""Name of the simulated source."""

SIMULATED_CUBE = "simulated_interferograms"
"""Name of the cube that it becomes."""

KINDS = ("mogi", "dyke", "sill")
"""Types of deformation, in the order of the model's outputs."""

SPLITS = ("train", "validation", "test")
"""Parts that a source may be divided into beforehand; without, everything is ``train``."""

_SIMULATION: dict[str, Any] = {"seed": 20, "size": "small", "patches": 480, "side": PIXELS}
_NAME = re.compile(r"(?P<frame>\d{3}[AD]_\d{5})(?:_\d{6})?_(?P<volcano>[^/]+?)_(?P<first>\d{8})_(?P<second>\d{8})")
_DEFORMATION = ("deformation", "deforming", "mogi", "dyke", "sill")
_QUIET = ("none", "no_deformation", "non_deformation", "nondeformation", "quiet")
_DAY_ZERO = pd.Timestamp("2000-01-01")  # of simulated patches, which have no date: their number, in days from here


@dataclass(frozen=True, eq=False)
class Patch:
    """One interferogram with what is known of it.

    Attributes
    ----------
    patch_id : str
        Hash of its content; see :func:`features.volcano.image.content_hash`.
    file : str
        Its file below the source's folder, or its number.
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        What the network sees of it.
    deformation : bool or None
        Whether somebody has seen deformation in it; None if nobody has said.
    kind : str
        One of :data:`KINDS`, or empty where unknown.
    mask : numpy.ndarray of float32, shape (SIDE, SIDE), or None
        1 where the ground deforms visibly; None where unknown.
    volcano, frame : str
        Name of the volcano and of the satellite's frame, as far as the file name tells.
    first, second : pandas.Timestamp
        The two dates, UTC.
    split : str
        One of :data:`SPLITS`.
    position : tuple of float, or None
        Longitude and latitude of the middle of what is looked at, where the file tells them.
    """

    patch_id: str
    file: str
    seen: Floats
    deformation: bool | None
    kind: str
    mask: Floats | None
    volcano: str
    frame: str
    first: pd.Timestamp
    second: pd.Timestamp
    split: str
    position: Position | None = None


@dataclass(frozen=True)
class VolcanoSource:
    """A set of interferograms.

    Attributes
    ----------
    cube : str
        Name that it gets in the feature store.
    simulated : bool
        Whether a simulator made it.
    length : int
        Number of patches, those that cannot be read included.
    read : callable
        Yields the patches.
    refused : list of dict
        ``file`` and ``reason`` of what could not be read; complete once all patches have been read.
    """

    cube: str
    simulated: bool
    length: int
    read: Callable[[], Iterator[Patch]]
    refused: list[dict[str, str]] = field(default_factory=list)


def cube_name(source: str) -> str:
    """Return the name that the patches of a source get in the feature store."""
    return SIMULATED_CUBE if source == SIMULATED else slug(Path(source).stem)


def open_source(source: str, folder: Path | None = None) -> VolcanoSource:
    """Open a source.

    Parameters
    ----------
    source : str
        ``"simulated"``; the folder of a simulation by ``deepcube simulate interferograms``; or a folder
        ``CLASS/IMAGE`` or ``SPLIT/CLASS/IMAGE`` of patches whose names hold two dates and, as LiCSAR products have it,
        frame and volcano. Classes are ``deformation`` (or ``mogi``, ``dyke``, ``sill``) and ``none``.
    folder : pathlib.Path, optional
        Where ``"simulated"`` is made.

    Returns
    -------
    VolcanoSource
        The source.

    Raises
    ------
    deepcube.cubes.CubeError
        If there is nothing of the kind.
    """
    name = cube_name(source)
    if source == SIMULATED:
        if folder is None:
            raise CubeNotFoundError("Found no folder to make the source 'simulated' in; expected one.")
        from deepcube.cubes.simulate import simulate

        return _simulation(simulate("interferograms", folder / name, **_SIMULATION).data, name)
    path = Path(source)
    if not path.is_dir():
        raise CubeNotFoundError(f"Found no folder {source}; expected one of interferograms.")
    if (path / "simulation.json").is_file():
        from deepcube.cubes.simulate.registry import read_simulation

        return _simulation(read_simulation(path).data, name)
    return _folder(path, name)


def regions(volcanoes: Sequence[str], frames: Sequence[str]) -> list[str]:
    """Return the region of every patch: what has a volcano or a frame in common lies in one.

    A model that has seen a volcano, or the same pass of the satellite over its neighbour, must not be scored on it:
    splits go by region. Unknown names (empty) join nothing.

    Parameters
    ----------
    volcanoes, frames : sequence of str, equally long
        As of :class:`Patch`.

    Returns
    -------
    list of str
        A name for each region, the same whatever the order of the patches.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    keys = []
    for number, (volcano, frame) in enumerate(zip(volcanoes, frames, strict=True)):
        named = [f"frame {frame}"] * bool(frame) + [f"volcano {re.sub(r'[^a-z0-9]', '', volcano.lower())}"] * bool(
            volcano
        )
        keys.append((named or [f"patch {number}"])[0])
        for other in named:
            one, two = sorted((root(keys[-1]), root(other)))
            parent[two] = one
    return [root(key) for key in keys]


def _simulation(store: Path, name: str) -> VolcanoSource:
    data = xr.open_zarr(store)
    count, side = data.sizes["patch"], data.sizes["y"]
    if side < PIXELS:
        raise NotACubeError(f"{store} holds patches of {side} pixels; expected at least {PIXELS}.")
    kinds = ("none", *KINDS)

    def read() -> Iterator[Patch]:
        for first in range(0, count, 32):
            block = data.isel(patch=slice(first, first + 32)).load()
            for offset in range(block.sizes["patch"]):
                one, number = block.isel(patch=offset), first + offset
                phase = one["phase"].to_numpy().astype(np.float32)
                kind = kinds[int(one["label"])]
                date = _DAY_ZERO + pd.Timedelta(days=number)
                yield Patch(
                    content_hash(phase),
                    f"patch_{number:05d}",
                    phasor(phase),
                    kind != "none",
                    kind if kind != "none" else "",
                    _shrink(one["mask"].to_numpy()),
                    f"simulated {number}",
                    "",
                    date,
                    date,
                    SPLITS[(number % 5 == 3) + 2 * (number % 5 == 4)],
                )

    return VolcanoSource(name, True, count, read)


def _shrink(mask: NDArray) -> Floats:
    part = mask[:PIXELS, :PIXELS].astype(np.float32)
    return (part.reshape(SIDE, LOOKS, SIDE, LOOKS).mean(axis=(1, 3)) >= 0.5).astype(np.float32)


def _folder(path: Path, name: str) -> VolcanoSource:
    from deepcube.cubes.layouts.patches import find_patches

    files = find_patches(path)
    named = {file.parent.name.lower() for file in files}
    unknown = sorted(named - {*_DEFORMATION, *_QUIET})
    if not files or unknown:
        found = (
            f"the classes {', '.join(sorted(named))}" if files else "no images of two dates below folders of classes"
        )
        raise NotACubeError(
            f"{path} holds {found}; expected folders `deformation` (or mogi, dyke, sill) and `none` of PNG or TIFF "
            "images with two dates in their names, below folders `train` and `test` if there are any."
        )
    refused: list[dict[str, str]] = []

    def read() -> Iterator[Patch]:
        held: set[str] = set()
        refused.clear()
        for file in files:
            shown = str(file.relative_to(path))
            try:
                phase = read_interferogram(file)
            except InterferogramError as error:
                refused.append({"file": shown, "reason": str(error)})
                continue
            patch = _labelled(file, phase, path)
            if patch.patch_id in held:
                refused.append({"file": shown, "reason": "the same interferogram as one before"})
                continue
            held.add(patch.patch_id)
            yield patch

    return VolcanoSource(name, False, len(files), read, refused)


def _labelled(file: Path, phase: NDArray[np.float32], root: Path) -> Patch:
    label = file.parent.name.lower()
    split = file.parent.parent.name.lower() if file.parent.parent != root else "train"
    known = name_parts(file.name)
    return Patch(
        content_hash(phase),
        str(file.relative_to(root)),
        phasor(phase),
        label in _DEFORMATION,
        label if label in KINDS else "",
        None,
        known["volcano"],
        known["frame"],
        pd.Timestamp(known["first"]),
        pd.Timestamp(known["second"]),
        {"val": "validation", "valid": "validation"}.get(split, split if split in SPLITS else "train"),
        locate_pixel(file, PIXELS // 2, PIXELS // 2),
    )


def name_parts(name: str) -> dict[str, str]:
    """Return what the name of an interferogram tells: ``volcano``, ``frame``, ``first`` and ``second`` date.

    Dates are eight digits, all four empty where the name does not have them.
    """
    match = _NAME.search(name)
    if match is not None:
        return match.groupdict()
    dates = re.search(r"(?<!\d)((?:19|20)\d{6})[-_]((?:19|20)\d{6})(?!\d)", name)
    return {"volcano": "", "frame": "", "first": dates[1] if dates else "", "second": dates[2] if dates else ""}
