"""The exceptions of :mod:`deepcube.oblivious`.

::

    ObliviousError (Exception)
    ├── TrainFunctionError    the training function cannot be called with what an experiment offers
    ├── TrainResultError      it returned or reported something that is not a finite number
    │   └── DivergedError     the number is not finite: this training failed, another may not
    ├── ExperimentConfigError the experiment itself is described wrongly
    ├── ScoreError            forecasts and truth that cannot be compared
    ├── ChannelError          a connection between experiment and worker that cannot be trusted
    ├── RecordError           a record that cannot be continued
    ├── CheckpointError       a state that cannot be kept, or that does not fit
    ├── WorkerError           worker processes that could not be started, died or gave no result
    ├── TrackingError         a tracker used before a run has begun
    ├── ArtifactError         a folder that holds no usable model
    └── InstanceError         a request for a prediction whose instances do not fit the model

An exception raised inside a training function is never wrapped: it reaches the caller as it was raised.
"""


class ObliviousError(Exception):
    """Root of all errors raised by :mod:`deepcube.oblivious`."""


class TrainFunctionError(ObliviousError, TypeError):
    """The training function is not callable or requires an argument that no experiment offers."""


class TrainResultError(ObliviousError, ValueError):
    """The training function returned, or reported, something that is not a finite number."""


class DivergedError(TrainResultError):
    """The training function returned, or reported, NaN or infinity."""


class ExperimentConfigError(ObliviousError, ValueError):
    """An option of the experiment has a value that it cannot have."""


class ScoreError(ObliviousError, ValueError):
    """Truth and forecast differ in shape, or hold nothing to compare."""


class ChannelError(ObliviousError, ConnectionError):
    """The other side of a connection is not who it must be, or sent something that cannot be a message."""


class RecordError(ObliviousError, RuntimeError):
    """The record of an experiment is damaged, or belongs to another experiment than the one to continue."""


class CheckpointError(ObliviousError, RuntimeError):
    """A training's state cannot be kept, or does not fit the objects that it is brought back into."""


class WorkerError(ObliviousError, RuntimeError):
    """Worker processes could not be started, died, or ended without a result; the message holds their own traceback."""


class TrackingError(ObliviousError, RuntimeError):
    """Something was logged before any run had begun."""


class ArtifactError(ObliviousError, RuntimeError):
    """A folder does not hold a model with a signature that fits it."""


class InstanceError(ObliviousError, ValueError):
    """An instance to predict lacks an input, has an unknown one, or holds something that is not a finite number."""
