"""What all drivers share: the folder, the record, the tracker, and the registration behind ``experiment.lagom``.

``lagom`` picks a driver by the class of the configuration, through Maggy's own ``functools.singledispatch``. A new mode
is a pair of classes and one decorator:

>>> @drives(AblationConfig)                                                         # doctest: +SKIP
... class AblationDriver(Driver):
...     mode = "ablation"
...     def execute(self, train_fn, record): ...
"""

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from deepcube.oblivious.calling import OFFERED, TrainFn, TrainResult, check_train_fn, name_of, source_hash
from deepcube.oblivious.environment import LagomConfig, lagom_driver
from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.record import RunRecord, create_run_directory
from deepcube.oblivious.reporter import Observer, Reporter, Step
from deepcube.oblivious.tracking import Tracker


class ObliviousConfig(LagomConfig):
    """Options that every mode of training has.

    Parameters
    ----------
    model : Any, optional
        What the training function receives as ``model``, usually a function that builds one from hyperparameters.
    dataset : Any, optional
        What it receives as ``dataset``.
    hparams : mapping of str to Any, optional
        What it receives as ``hparams``.
    optimization_key : str
        Name of the metric in the dictionary that the training function returns (Maggy's default).
    seed : int
        Seed of Python's, NumPy's and the framework's random generators.
    name, description : str
        What the experiment is called and for.
    directory : pathlib.Path or str, optional
        Folder under which the run gets a folder of its own.
    tracker : Tracker, optional
        Follows the run from outside.
    observers : sequence of callable
        Called with every reported step, for example to show progress.

    Raises
    ------
    ExperimentConfigError
        If the seed is not a whole number from 0 to 2**32 - 1, or the metric has no name.
    """

    def __init__(
        self,
        model: Any = None,
        dataset: Any = None,
        hparams: Mapping[str, Any] | None = None,
        *,
        optimization_key: str = "Metric",
        seed: int = 0,
        name: str = "experiment",
        description: str = "",
        directory: Path | str | None = None,
        tracker: Tracker | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(name, description, hb_interval=1)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ExperimentConfigError(f"Found seed={seed!r}; expected a whole number from 0 to 2**32 - 1.")
        if not optimization_key:
            raise ExperimentConfigError("Found an empty optimization_key; expected the name of the returned metric.")
        self.model = model
        self.dataset = dataset
        self.hparams = dict(hparams or {})
        self.optimization_key = optimization_key
        self.seed = seed
        self.directory = None if directory is None else Path(directory)
        self.tracker = tracker
        self.observers = tuple(observers)


class Driver(ABC):
    """Runs one experiment and leaves its record, whatever happens.

    Parameters
    ----------
    config : ObliviousConfig
        The experiment.
    app_id : str
        Maggy's identifier of this process.
    run_id : int
        Maggy's number of the experiment in this process.
    """

    mode: ClassVar[str]

    def __init__(self, config: ObliviousConfig, app_id: str, run_id: int) -> None:
        self.config = config
        self.app_id = app_id
        self.run_id = run_id

    @abstractmethod
    def execute(self, train_fn: TrainFn, record: RunRecord) -> TrainResult:
        """Run the training function in this driver's mode.

        Parameters
        ----------
        train_fn : callable
            The training function, already checked.
        record : RunRecord
            Record to append steps to.

        Returns
        -------
        TrainResult
            The final metric and values.
        """

    def run_experiment(self, train_fn: TrainFn, config: LagomConfig) -> dict[str, Any]:
        """Run the experiment; called by ``experiment.lagom``.

        Parameters
        ----------
        train_fn : callable
            The training function.
        config : LagomConfig
            The experiment again, as Maggy passes it; unused.

        Returns
        -------
        dict
            The fields of :class:`~deepcube.oblivious.RunRecord`, and ``result``: what the training function returned.

        Raises
        ------
        TrainFunctionError
            If the function cannot be called with what is offered; nothing has been started or written then.
        TrainResultError
            If it returned no finite metric.
        Exception
            Whatever the training function raises.
        """
        check_train_fn(train_fn, OFFERED)
        record = self._open_record(train_fn)
        tracker = self.config.tracker
        if tracker:
            record.tracking = tracker.start(record.name, {**record.hparams, "seed": record.seed, "mode": record.mode})
        record.write()
        start = time.perf_counter()
        try:
            result = self.execute(train_fn, record)
            record.metric, record.metrics = result.metric, result.metrics
            record.state = "EARLY_STOPPED" if record.state == "EARLY_STOPPED" else "FINISHED"
        except BaseException as error:
            record.state = "FAILED" if isinstance(error, Exception) else "KILLED"
            record.error = traceback.format_exc()
            raise
        finally:
            record.seconds = time.perf_counter() - start
            record.write()
            if tracker:
                tracker.finish(record.state, record.metrics)
        return {**record.as_dict(), "result": result.returned}

    def reporter(self, record: RunRecord) -> Reporter:
        """Return a reporter that feeds the record, the tracker and the observers of the configuration."""

        def keep(step: Step) -> bool:
            record.history.append(step)
            if self.config.tracker:
                self.config.tracker.log_step(step, record.metric_name)
            return False

        return Reporter(Path(record.directory), (keep, *self.config.observers))

    def _open_record(self, train_fn: TrainFn) -> RunRecord:
        config = self.config
        return RunRecord(
            mode=self.mode,
            name=config.name,
            description=config.description,
            directory=str(create_run_directory(config.directory, config.name)),
            train_fn=name_of(train_fn),
            train_fn_sha256=source_hash(train_fn),
            hparams=dict(config.hparams),
            seed=config.seed,
            metric_name=config.optimization_key,
        )


DriverClass = TypeVar("DriverClass", bound=type[Driver])


def drives(config_class: type[ObliviousConfig]) -> Callable[[DriverClass], DriverClass]:
    """Register the decorated driver for a class of configurations.

    Parameters
    ----------
    config_class : type
        The configuration that selects the driver in ``experiment.lagom``.

    Returns
    -------
    callable
        Decorator that returns the driver class unchanged.
    """

    def register(driver_class: DriverClass) -> DriverClass:
        lagom_driver.register(config_class, driver_class)
        return driver_class

    return register
