"""The simplest mode: one run, in this process."""

from maggy.core.exceptions import EarlyStopException

from deepcube.oblivious.calling import TrainFn, TrainResult, call_train_fn, read_result
from deepcube.oblivious.driver import Driver, ObliviousConfig, drives
from deepcube.oblivious.record import RunRecord
from deepcube.oblivious.seeding import seed_everything
from deepcube.oblivious.worker import offered


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
        parts = {"model": self.config.model, "dataset": self.config.dataset}
        arguments = offered(parts, self.config.hparams, reporter, self.config.seed)
        try:
            returned = call_train_fn(train_fn, arguments)
        except EarlyStopException as stop:
            record.state = "EARLY_STOPPED"
            returned = stop.metric
        return read_result(returned, self.config.optimization_key)
