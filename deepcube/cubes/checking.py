"""Quality problems of a cube: what is missing, unreadable, out of range or undescribed, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.arrays import stored_array
from deepcube.cubes.copying import source_chunks
from deepcube.cubes.errors import CubeError
from deepcube.cubes.layout import block_step, blocks
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.steps import regular_step
from deepcube.cubes.variables import Variable

BLOCK_BYTES = 128 << 20
"""Bytes of values that a check holds at a time."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or may be.

    Attributes
    ----------
    severity : {"error", "warning"}
        Errors make results wrong; warnings may be meant so.
    where : str
        Grid or variable.
    what : str
        What was found.
    todo : str
        What to do about it.
    """

    severity: Literal["error", "warning"]
    where: str
    what: str
    todo: str

    def document(self) -> dict[str, str]:
        """Return the problem as plain data."""
        return asdict(self)


def check_cube(cube: Cube, *, values: bool = True, progress: Callable[[str], None] | None = None) -> list[Problem]:
    """Look for quality problems.

    Parameters
    ----------
    cube : Cube
        The cube.
    values : bool
        Whether to read all values, block by block; else only what describes them.
    progress : callable, optional
        Called with the name of each variable before it is read.

    Returns
    -------
    list of Problem
        Errors first; empty if nothing was found.
    """
    problems = [Problem("warning", cube.name, note, "check that this is what the data mean") for note in cube.notes]
    for grid in cube.grids:
        problems += _grid_problems(grid)
    for name, variable in cube.variables.items():
        grid = cube.grid_of(name)
        problems += _described(name, variable)
        problems += _missing_chunks(name, variable, grid)
        if values:
            if progress is not None:
                progress(name)
            problems += _value_problems(name, variable, grid)
    return sorted(problems, key=lambda problem: problem.severity)


def _grid_problems(grid: Grid) -> Iterator[Problem]:
    if grid.crs is None:
        yield Problem(
            "warning",
            grid.name,
            "no coordinate reference system, so pixels have no place on Earth",
            "open it with crs=..., or write a CF grid mapping",
        )
    if "time" in grid.dataset.dims and len(grid.times) > 2 and regular_step(grid.times) is None:
        lengths = np.diff(grid.times.to_numpy("datetime64[ns]").astype(np.int64)).astype(float)
        typical = float(np.median(lengths))
        longest = int(np.argmax(lengths))
        if lengths.max() > 1.5 * typical:
            gap = lengths[longest] / 86_400e9
            missing = int(np.maximum(np.rint(lengths / typical) - 1, 0).sum())
            yield Problem(
                "warning",
                grid.name,
                f"times are irregular: about {missing} steps of {typical / 86_400e9:.3g} days are missing, "
                f"the longest gap is {gap:.3g} days after {grid.times[longest]:%Y-%m-%d}",
                "composite them to regular steps, such as view(cube, step='10D')",
            )
    if not grid.points:
        for axis in ("y", "x"):
            steps = np.abs(np.diff(grid.dataset[axis].to_numpy().astype(float)))
            if len(steps) and np.ptp(steps) > 1e-3 * steps.max():
                yield Problem(
                    "warning",
                    grid.name,
                    f"{axis} is not evenly spaced: steps from {steps.min():.6g} to {steps.max():.6g}",
                    "check whether rows or columns are missing",
                )


def _described(name: str, variable: Variable) -> Iterator[Problem]:
    if not variable.units and variable.kind == "continuous":
        yield Problem("warning", name, "no units", "state them in the attribute 'units' (1 for none)")


def _missing_chunks(name: str, variable: Variable, grid: Grid) -> Iterator[Problem]:
    array = stored_array(grid, variable.name)
    if array is None or grid.stored is None or grid.stored.version != 3:
        return
    shape = array.chunk_layout.write_chunk.shape
    expected = math.prod(math.ceil(size / (part or size)) for size, part in zip(array.shape, shape or (), strict=False))
    folder = grid.stored.group / variable.name / "c"
    found = sum(1 for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else int(folder.is_file())
    if found < expected:
        yield Problem(
            "error" if array.ndim else "warning",
            name,
            f"{expected - found} of {expected} chunk files are not there; they read as gaps or zeros",
            "restore them from a copy or build the cube again, unless its writer leaves out empty chunks",
        )


def _value_problems(name: str, variable: Variable, grid: Grid) -> Iterator[Problem]:
    data = grid.dataset[variable.name]
    if data.dtype.kind not in "biuf":
        return
    step = block_step(data.shape, source_chunks(grid, variable.name), max(8, data.dtype.itemsize), BLOCK_BYTES)
    low, high, valid, infinite, outside = np.inf, -np.inf, 0, 0, 0
    limits = variable.valid_range or (-np.inf, np.inf)
    for block in blocks(data.shape, step):
        try:
            values: NDArray[Any] = data.isel(dict(zip(data.dims, block, strict=True))).to_numpy()
        except (CubeError, OSError, ValueError, RuntimeError) as error:
            place = ", ".join(f"{d} {b.start}-{b.stop}" for d, b in zip(data.dims, block, strict=True))
            yield Problem("error", name, f"cannot be read at {place}: {error}", "restore the file from a copy")
            continue
        values = values.astype(float).ravel()
        infinite += int(np.isinf(values).sum())
        values = values[np.isfinite(values)]
        if values.size:
            valid += values.size
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            outside += int(((values < limits[0]) | (values > limits[1])).sum())
    if data.size and valid == 0:
        yield Problem("error", name, "no valid value at all", "check the fill value, the scale factor and the mask")
        return
    if infinite:
        yield Problem("error", name, f"{infinite} infinite values", "replace them by the fill value")
    if outside:
        yield Problem(
            "error",
            name,
            f"{outside} of {valid} values outside the valid range {limits[0]:g} to {limits[1]:g} (they run from "
            f"{low:g} to {high:g})",
            "check the scale factor, and mask what is not valid",
        )
    if valid and low == high and data.size > 1:
        yield Problem("warning", name, f"the same value {low:g} everywhere", "check that it was written")
    share = 1 - valid / data.size if data.size else 0.0
    if share > 0.5:
        yield Problem(
            "warning",
            name,
            f"{share:.0%} of the values are gaps",
            "give views a lower `least`, the share of a pixel or step that must be valid",
        )
