"""Cubes and tables made by known processes, so that what a method finds can be compared with what is true.

Every simulator writes a folder: the data as an ordinary cube (or table), the truth that made it, and the parameters.
All of it says that it is simulated. Simulators are seeded, stream to disk in bounded memory and appear whole or not at
all. May import :mod:`deepcube.cubes`; nothing else of the project.
"""

from deepcube.cubes.simulate.registry import (
    Simulation,
    SimulationError,
    Simulator,
    get_simulator,
    read_simulation,
    simulate,
    simulator_names,
)

__all__ = [
    "Simulation",
    "SimulationError",
    "Simulator",
    "get_simulator",
    "read_simulation",
    "simulate",
    "simulator_names",
]
