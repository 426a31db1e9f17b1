"""How the processes of one training work together; a new way is one small class.

A strategy lives in the worker. It prepares the process, then wraps what the training function *receives*, its model and
its dataset, or what these are made of; the training function itself is never changed.
"""

import resource
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from deepcube.oblivious.checkpoints import Checkpoints
from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.seeding import seed_everything

Address = tuple[str, int]
"""Host and a free port of a rank."""


class Strategy:
    """One process that trains by itself: a single run, or one trial of many.

    Attributes
    ----------
    name : str
        Name in configurations and tables.
    framework : str
        What it needs: ``"any"``, ``"torch"``, ``"tensorflow"`` or ``"jax"``.
    ranks : int
        Number of ranks.
    per_rank_batches, split_evaluation : bool
        See :mod:`deepcube.oblivious.distributed`.
    """

    name: ClassVar[str] = "single"
    framework: ClassVar[str] = "any"

    def __init__(self) -> None:
        self.rank = 0
        self.ranks = 1
        self.per_rank_batches = False
        self.split_evaluation = False

    def processes(self, ranks: int) -> int:
        """Return how many processes so many ranks are."""
        return ranks

    def environment(self, ranks: int) -> dict[str, str]:
        """Return environment variables that worker processes need before they start."""
        return {}

    def join(self, rank: int, addresses: Sequence[Address]) -> None:
        """Meet the other ranks.

        Parameters
        ----------
        rank : int
            Rank of this process.
        addresses : sequence of tuple
            Host and free port of every rank.
        """

    def leave(self) -> None:
        """Part from the other ranks."""

    def seed(self, seed: int) -> None:
        """Seed this process; the same in all ranks."""
        seed_everything(seed)

    def wrap(self, parts: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        """Return the parts that the training function receives, wrapped.

        Parameters
        ----------
        parts : mapping of str to Any
            ``model`` and ``dataset``, and others that are left alone.
        seed : int
            Seed of the run.
        """
        return parts

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Return what saves and restores the state that the ranks share, in a folder that all of them see."""
        return Checkpoints(folder, self.rank)

    def reduce(self, value: float) -> float:
        """Return the mean of a value over all ranks, the same in every rank."""
        return value

    def stats(self) -> dict[str, float]:
        """Return what this rank held, for example elements of its optimizer's state."""
        return {}


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in MiB.

    On Linux that of the program itself: what ``getrusage`` says begins with the memory of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


STRATEGIES = {
    "ddp": "torch_strategies:DataParallel",
    "replicate": "torch_strategies:Replicate",
    "zero1": "torch_strategies:ZeroRedundancy",
    "fsdp2": "torch_strategies:FullySharded",
    "mirrored": "keras_strategies:Mirrored",
    "jax-data": "keras_strategies:JaxData",
    "jax-model": "keras_strategies:JaxModel",
}
"""Strategies by name, and where each is; importing one imports no framework."""


def make_strategy(strategy: str | Strategy) -> Strategy:
    """Return a strategy by its name.

    Raises
    ------
    ExperimentConfigError
        If there is none of that name.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if strategy not in STRATEGIES:
        raise ExperimentConfigError(f"Found strategy={strategy!r}; expected one of {', '.join(STRATEGIES)}.")
    module, name = STRATEGIES[strategy].split(":")
    made: Strategy = getattr(import_module(f"deepcube.oblivious.{module}"), name)()
    return made
