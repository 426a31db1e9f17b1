"""Train with an oblivious function: written once, run in every mode behind Maggy's unchanged ``experiment.lagom``.

A training function ``train_fn(hparams, model, dataset, reporter)`` does not know how it is run; the class of the
configuration decides. Importing a configuration registers its driver with Maggy, whose own drivers, sockets and Spark
sessions are never started. Beside it: a durable record of each run, trackers, honest scores against baselines, and the
step from a trained model to the Hopsworks model registry. May import no other part of the project.

>>> from maggy.experiment import experiment                                         # doctest: +SKIP
>>> from deepcube.oblivious import SingleRunConfig
>>> experiment.lagom(train_fn, SingleRunConfig(hparams={"units": 16}, seed=1))      # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepcube.oblivious.errors import (
    ArtifactError,
    ChannelError,
    CheckpointError,
    DivergedError,
    ExperimentConfigError,
    InstanceError,
    ObliviousError,
    RecordError,
    ScoreError,
    TrackingError,
    TrainFunctionError,
    TrainResultError,
    WorkerError,
)

if TYPE_CHECKING:
    from deepcube.oblivious.ablation import AblationConfig
    from deepcube.oblivious.artifact import MODEL_FILE, Signature, load_artifact, save_artifact
    from deepcube.oblivious.distributed import DistributedConfig
    from deepcube.oblivious.driver import Driver, ObliviousConfig, drives
    from deepcube.oblivious.figures import learning_curve, score_bars
    from deepcube.oblivious.launchers import Launcher, LocalLauncher
    from deepcube.oblivious.outcome import Outcome
    from deepcube.oblivious.record import RunRecord, working_folder
    from deepcube.oblivious.registry import register_model, upload_files
    from deepcube.oblivious.reporter import Reporter, Step
    from deepcube.oblivious.scores import Score, score, score_table, spread
    from deepcube.oblivious.search import SearchConfig
    from deepcube.oblivious.single import SingleRunConfig
    from deepcube.oblivious.strategies import Strategy
    from deepcube.oblivious.study_figures import parallel_coordinates
    from deepcube.oblivious.tracking import MlflowTracker, Tracker
    from deepcube.oblivious.trials_config import TrialsConfig

# Loaded on first use: a worker process that only needs the reporter must not pay for Maggy's import of TensorFlow.
_HOMES = {
    "AblationConfig": "ablation",
    "DistributedConfig": "distributed",
    "TrialsConfig": "trials_config",
    "Driver": "driver",
    "Launcher": "launchers",
    "LocalLauncher": "launchers",
    "Outcome": "outcome",
    "SearchConfig": "search",
    "Strategy": "strategies",
    "parallel_coordinates": "study_figures",
    "MODEL_FILE": "artifact",
    "MlflowTracker": "tracking",
    "ObliviousConfig": "driver",
    "Reporter": "reporter",
    "RunRecord": "record",
    "Score": "scores",
    "Signature": "artifact",
    "SingleRunConfig": "single",
    "Step": "reporter",
    "Tracker": "tracking",
    "drives": "driver",
    "learning_curve": "figures",
    "load_artifact": "artifact",
    "register_model": "registry",
    "save_artifact": "artifact",
    "score": "scores",
    "score_bars": "figures",
    "score_table": "scores",
    "spread": "scores",
    "upload_files": "registry",
    "working_folder": "record",
}

__all__ = [
    "MODEL_FILE",
    "AblationConfig",
    "ArtifactError",
    "ChannelError",
    "CheckpointError",
    "DistributedConfig",
    "DivergedError",
    "Driver",
    "ExperimentConfigError",
    "InstanceError",
    "Launcher",
    "LocalLauncher",
    "MlflowTracker",
    "ObliviousConfig",
    "ObliviousError",
    "Outcome",
    "RecordError",
    "Reporter",
    "RunRecord",
    "Score",
    "ScoreError",
    "SearchConfig",
    "Signature",
    "SingleRunConfig",
    "Step",
    "Strategy",
    "Tracker",
    "TrackingError",
    "TrainFunctionError",
    "TrainResultError",
    "TrialsConfig",
    "WorkerError",
    "drives",
    "learning_curve",
    "load_artifact",
    "parallel_coordinates",
    "register_model",
    "save_artifact",
    "score",
    "score_bars",
    "score_table",
    "spread",
    "upload_files",
    "working_folder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
