"""How one trial of many ended, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """How a trial ended.

    Attributes
    ----------
    trial_id : str
        Maggy's hash of its configuration.
    hparams : dict
        Sampled hyperparameters.
    metric : float or None
        Final metric; None if it failed.
    metrics : dict of str to float
        All final values.
    history : list of [int, float]
        Reported steps and their metric.
    stopped : bool
        Whether it was stopped early.
    seconds : float
        Time in the training function.
    attempts : int
        How often it was started.
    directory : str
        Folder with the files it left.
    error : str or None
        Traceback, or how its process ended.
    """

    trial_id: str
    hparams: dict[str, Any]
    metric: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[list[float]] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0
    attempts: int = 1
    directory: str = ""
    error: str | None = None


TrialObserver = Callable[[Outcome, Outcome | None], None]
"""Called with every trial that ended and the best one so far."""
