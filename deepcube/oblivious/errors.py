"""The exceptions of :mod:`deepcube.oblivious`.

::

    ObliviousError (Exception)
    ├── TrainFunctionError    the training function cannot be called with what an experiment offers
    ├── TrainResultError      it returned or reported something that is not a finite number
    ├── ExperimentConfigError the experiment itself is described wrongly
    ├── ScoreError            forecasts and truth that cannot be compared
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


class ExperimentConfigError(ObliviousError, ValueError):
    """An option of the experiment has a value that it cannot have."""


class ScoreError(ObliviousError, ValueError):
    """Truth and forecast differ in shape, or hold nothing to compare."""


class TrackingError(ObliviousError, RuntimeError):
    """Something was logged before any run had begun."""


class ArtifactError(ObliviousError, RuntimeError):
    """A folder does not hold a model with a signature that fits it."""


class InstanceError(ObliviousError, ValueError):
    """An instance to predict lacks an input, has an unknown one, or holds something that is not a finite number."""
