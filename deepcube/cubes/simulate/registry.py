"""One interface to all simulators: name, folder, seed, size."""

import importlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from deepcube.cubes.errors import CubeError
from deepcube.cubes.publish_folder import whole_folder

MODULES = {
    "drought": "deepcube.cubes.simulate.drought",
    "firecube": "deepcube.cubes.simulate.firecube",
    "interferograms": "deepcube.cubes.simulate.interferograms",
    "scatterers": "deepcube.cubes.simulate.scatterers",
    "displacement": "deepcube.cubes.simulate.displacement",
    "tourism": "deepcube.cubes.simulate.tourism",
}
"""Module of each simulator, which holds it under the name ``SIMULATOR``."""

DESCRIPTION = "simulation.json"
"""File that says what a folder holds and how it was made."""

Report = Callable[[float], None]
"""Told the finished share, 0 to 1, of a simulation."""


class SimulationError(CubeError):
    """A simulator, size or parameter that does not exist, or a folder that holds no simulation."""


@dataclass(frozen=True)
class Simulator:
    """A simulator.

    Attributes
    ----------
    name, title : str
        Name to ask for it by; what it makes, in a line.
    parameters : dataclass instance
        All parameters with their defaults.
    sizes : mapping of str to mapping
        Parameters of each named size; ``tiny`` is made in seconds, ``full`` is as large as the published data.
    run : callable
        ``run(folder, parameters, seed, report)`` fills a folder and returns a JSON-able mapping of the truth that is
        not an array, with the names of the files under ``data`` and ``truth``.
    """

    name: str
    title: str
    parameters: Any
    sizes: Mapping[str, Mapping[str, Any]]
    run: Callable[[Path, Any, int, Report], dict[str, Any]]

    def configured(self, size: str, changes: Mapping[str, Any]) -> Any:
        """Return the parameters of a size with some changed.

        Raises
        ------
        SimulationError
            If there is no such size or parameter; the message lists those there are.
        """
        if size not in self.sizes:
            raise SimulationError(f"Simulator {self.name} has no size {size!r}; it has {', '.join(self.sizes)}.")
        known = {field.name for field in fields(self.parameters)}
        unknown = set(changes) - known
        if unknown:
            raise SimulationError(
                f"Simulator {self.name} has no parameter {', '.join(sorted(unknown))}; "
                f"it has {', '.join(sorted(known))}."
            )
        return replace(self.parameters, **{**self.sizes[size], **changes})


@dataclass(frozen=True)
class Simulation:
    """A finished simulation.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies.
    data, truth : pathlib.Path
        The cube or table, and the arrays or table of the truth behind it.
    document : dict
        Simulator, seed, size, ``parameters``, ``truth_values`` and the label ``simulated``.
    """

    folder: Path
    data: Path
    truth: Path
    document: dict[str, Any]


def simulator_names() -> list[str]:
    """Return the names of all simulators, sorted."""
    return sorted(MODULES)


def get_simulator(name: str) -> Simulator:
    """Return a simulator by name.

    Raises
    ------
    SimulationError
        If there is none; the message lists those there are.
    """
    if name not in MODULES:
        raise SimulationError(f"There is no simulator {name!r}; there are {', '.join(simulator_names())}.")
    found: Simulator = importlib.import_module(MODULES[name]).SIMULATOR
    return found


def simulate(
    name: str,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    size: str = "small",
    overwrite: bool = False,
    report: Report | None = None,
    **parameters: Any,
) -> Simulation:
    """Simulate data with known truth into a folder.

    Parameters
    ----------
    name : str
        Simulator, one of :func:`simulator_names`.
    out : path
        Folder to make; it appears once it is complete.
    seed : int
        Non-negative; equal seeds and parameters give equal values.
    size : str
        Named size, such as ``tiny``, ``small`` or ``full``.
    overwrite : bool
        Whether a folder of that name may be replaced.
    report : callable, optional
        Told the finished share, 0 to 1.
    **parameters
        Parameters of the simulator to change.

    Returns
    -------
    Simulation
        What was made and where.

    Raises
    ------
    SimulationError
        If the simulator, size or a parameter does not exist, or the seed is negative.
    FolderExistsError
        If the folder exists and may not be replaced.

    Examples
    --------
    >>> made = simulate("firecube", "out/fire", seed=1, size="tiny")  # doctest: +SKIP
    >>> made.document["simulated"]  # doctest: +SKIP
    True
    """
    simulator = get_simulator(name)
    chosen = simulator.configured(size, parameters)
    if seed < 0:
        raise SimulationError(f"Found the seed {seed}; expected a number of at least 0.")
    with whole_folder(out, overwrite=overwrite) as folder:
        truth = simulator.run(folder, chosen, seed, report or (lambda share: None))
        document = {
            "simulated": True,
            "simulator": name,
            "title": simulator.title,
            "seed": seed,
            "size": size,
            "data": truth.pop("data"),
            "truth": truth.pop("truth"),
            "parameters": asdict(chosen),
            "truth_values": truth,
        }
        (folder / DESCRIPTION).write_text(json.dumps(document, indent=1) + "\n")
    return read_simulation(out)


def read_simulation(folder: str | os.PathLike[str]) -> Simulation:
    """Return the simulation that a folder holds.

    Raises
    ------
    SimulationError
        If it holds none.
    """
    path = Path(folder).expanduser().absolute()
    if not (path / DESCRIPTION).is_file():
        raise SimulationError(f"{path} has no {DESCRIPTION}; expected a folder made by simulate().")
    document = json.loads((path / DESCRIPTION).read_text())
    return Simulation(path, path / document["data"], path / document["truth"], document)
