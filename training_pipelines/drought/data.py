"""Training data of the drought model: three periods of one training dataset of the feature view."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepcube.cubes import TimeSplit
from features import drought
from training_pipelines.studies import TrainingDataError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of one period.

    Attributes
    ----------
    inputs : numpy.ndarray of float32, shape (rows, features)
        Model inputs in the order of ``features.drought.FEATURE_NAMES``, then ``extra``; none missing.
    targets : numpy.ndarray of float32, shape (rows, horizons)
        NDVI at the target dates; NaN where nothing was observed. Every row has at least one observed target.
    extra : tuple of str
        Further inputs, from the weather of cubes that have it.
    cells : numpy.ndarray of int64, shape (rows,), optional
        Cell of each row; without it, scores by pixel take all rows for one.
    """

    inputs: Floats
    targets: Floats
    extra: tuple[str, ...] = ()
    cells: npt.NDArray[np.int64] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [*drought.FEATURE_NAMES, *self.extra]

    def columns(self, names: list[str]) -> Floats:
        """Return some inputs by name, shape (rows, names)."""
        return self.inputs[:, [self.names.index(name) for name in names]]


@dataclass(frozen=True)
class TrainingData:
    """One training dataset of the feature view, split in time.

    Attributes
    ----------
    train, validation, test : Samples
        The three periods.
    split : TimeSplit
        Their dates.
    version : int
        Version of the training dataset in the feature store.
    """

    train: Samples
    validation: Samples
    test: Samples
    split: TimeSplit
    version: int

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows in each period."""
        return {part: len(getattr(self, part).inputs) for part in ("train", "validation", "test")}


def require_cube(fs: Any, cube: str) -> TimeSplit:
    """Return the time split of a cube that the feature pipeline has written.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        The feature store.
    cube : str
        Name of the cube.

    Returns
    -------
    TimeSplit
        From the forecast origins in ``drought_targets``, by the rule that the feature pipeline fitted the climatology
        with.

    Raises
    ------
    TrainingDataError
        If there are no rows of that cube. Nothing is created then.
    """
    group = drought.targets_group(fs)
    hint = f"Run the feature stage first: deepcube run drought --stage features. (cube {cube!r})"
    if group.id is None:
        raise TrainingDataError(f"Found no feature group drought_targets; expected forecast targets. {hint}")
    origins = group.select(["time"]).filter(group.get_feature("cube") == cube).read()
    if origins.empty:
        raise TrainingDataError(f"Found no forecast targets of cube {cube!r} in the feature store. {hint}")
    return drought.time_split(origins["time"].unique())


def read_training_data(view: Any, split: TimeSplit) -> TrainingData:
    """Create a training dataset of the feature view and read its three periods.

    Parameters
    ----------
    view : hsfs.feature_view.FeatureView
        The drought feature view of one cube.
    split : TimeSplit
        Dates of the three periods.

    Returns
    -------
    TrainingData
        Rows with at least one observed target.

    Raises
    ------
    TrainingDataError
        If a period has no observed target.
    """
    frames = view.train_validation_test_split(description="drought, split in time", primary_key=True, **asdict(split))
    parts = ("train", "validation", "test")
    samples = {part: _samples(part, frames[i], frames[i + 3]) for i, part in enumerate(parts)}
    return TrainingData(**samples, split=split, version=int(view.get_last_accessed_training_dataset()))


def _samples(part: str, inputs: "pd.DataFrame", targets: "pd.DataFrame") -> Samples:
    known = targets[drought.LABELS].notna().any(axis=1).to_numpy()
    if not known.any():
        raise TrainingDataError(
            f"Found {len(targets)} rows but no observed target in the {part} period; expected at least one. "
            "Use a longer or less cloudy cube."
        )
    extra = tuple(name for name in drought.EXTRA_UNITS if name in inputs)
    # Keys that several joined groups have come under longer names, the plain one at the end.
    cells = next((name for name in inputs.columns if str(name).endswith(drought.KEYS[-1])), None)
    return Samples(
        inputs.loc[known, [*drought.FEATURE_NAMES, *extra]].to_numpy(np.float32),
        targets.loc[known, drought.LABELS].to_numpy(np.float32),
        extra,
        None if cells is None else inputs.loc[known, cells].to_numpy(np.int64),
    )
