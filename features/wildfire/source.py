"""Where wildfire data come from: a simulated cube, any wildfire cube, or a table of fire days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepcube.cubes import CubeNotFoundError, slug
from features.wildfire.firecube import FireCube, open_firecube
from features.wildfire.firedays import FireDays, is_fire_table, open_fire_days

SIMULATED = "simulated"
"""Name of the simulated source: a FireCube at the resolutions of its sources."""

SIMULATED_CUBE = "simulated_firecube"
"""Name of the cube that it becomes."""

SIMULATION: dict[str, Any] = {
    "seed": 0,
    "size": "small",
    "rows": 63,
    "columns": 63,
    "start": "2009-01-01",
    "days": 1826,
    "sea_share": 0.15,
}
"""Five years on 63 x 63 km: small enough for a laptop, and large enough for blocks that are held out."""

RATE = 1.2e-4
"""Ignitions per square kilometre and day at average danger in the simulation: six times the simulator's default, as
five years on so little ground would otherwise have too few fires to score with."""


def cube_name(source: str) -> str:
    """Return the name that a source gets in the feature store."""
    return SIMULATED_CUBE if source == SIMULATED else slug(Path(source).stem)


def open_source(source: str, folder: Path | None = None) -> FireCube | FireDays:
    """Open a source and check everything that could go wrong later.

    Parameters
    ----------
    source : str
        ``"simulated"``, the path of a wildfire cube (FireCube, Mesogeos and whatever has their variables), or of a
        table of fire days.
    folder : pathlib.Path, optional
        Where ``"simulated"`` is made; it has to stay while rows are read.

    Returns
    -------
    FireCube or FireDays
        The checked source.

    Raises
    ------
    deepcube.cubes.CubeError
        One of its kinds, for whatever is wrong.
    """
    path = source
    if source == SIMULATED:
        path = _simulate(folder)
    elif not Path(source).exists():
        raise CubeNotFoundError(f"There is nothing at {source}; expected a wildfire cube or a table of fire days.")
    elif is_fire_table(Path(source)):
        return open_fire_days(source, cube_name(source))
    return open_firecube(path, cube_name(source))


def _simulate(folder: Path | None) -> str:
    """Make the simulated cube, the same one every time."""
    if folder is None:
        raise CubeNotFoundError(
            f"Found no folder to make the source {SIMULATED!r} in; expected one. Pass it to open_source(), or the path "
            "of a cube that `deepcube simulate firecube` has made."
        )
    from deepcube.cubes.simulate import simulate  # heavy, and other sources need none of it
    from deepcube.cubes.simulate.fire import FireRegime

    made = simulate("firecube", folder / SIMULATED_CUBE, **SIMULATION, regime=FireRegime(rate=RATE))
    return str(made.data)
