"""The simplest mode: one run, in this process."""

import random
import sys

import numpy as np
from maggy.core.exceptions import EarlyStopException

from deepcube.oblivious.calling import TrainFn, TrainResult, call_train_fn, read_result
from deepcube.oblivious.driver import Driver, ObliviousConfig, drives
from deepcube.oblivious.record import RunRecord


class SingleRunConfig(ObliviousConfig):
    """One run of a training function in this process; see :class:`~deepcube.oblivious.ObliviousConfig`."""


@drives(SingleRunConfig)
class SingleRunDriver(Driver):
    """Calls the training function once, seeded."""

    mode = "single"

    def execute(self, train_fn: TrainFn, record: RunRecord) -> TrainResult:
        """Seed the random generators and call the function.

        An observer may stop the training early; the last reported metric is then the result.
        """
        seed_everything(self.config.seed)
        reporter = self.reporter(record)
        offered = {
            "hparams": dict(self.config.hparams),
            "model": self.config.model,
            "module": self.config.model,
            "dataset": self.config.dataset,
            "reporter": reporter,
            "seed": self.config.seed,
        }
        try:
            returned = call_train_fn(train_fn, offered)
        except EarlyStopException as stop:
            record.state = "EARLY_STOPPED"
            returned = stop.metric
        return read_result(returned, self.config.optimization_key)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and those deep-learning frameworks that are already imported.

    Parameters
    ----------
    seed : int
        Whole number from 0 to 2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)  # frameworks and user code draw from the global generator
    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
