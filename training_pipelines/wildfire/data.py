"""Training data of the wildfire models: the parts of one training dataset of the feature view."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import wildfire
from training_pipelines.studies import TrainingDataError

Floats = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Cases of one part.

    Attributes
    ----------
    inputs : numpy.ndarray of float32, shape (rows, inputs)
        Model inputs; what was missing is the mean of the training cases.
    fire : numpy.ndarray of bool, shape (rows,)
        Whether the cell burns.
    weight : numpy.ndarray of float64, shape (rows,)
        Cell-days that each case stands for.
    day : numpy.ndarray of datetime64, shape (rows,)
        Day that the forecast is made on.
    names : tuple of str
        Names of the inputs, in order.
    """

    inputs: Floats
    fire: npt.NDArray[np.bool_]
    weight: Weights
    day: npt.NDArray[np.datetime64]
    names: tuple[str, ...]

    def column(self, name: str) -> Floats:
        """Return one input, shape (rows,)."""
        return self.inputs[:, self.names.index(name)]

    def held(self, names: list[str], means: Floats) -> Samples:
        """Return the cases with some inputs held at given values."""
        inputs = self.inputs.copy()
        for name in names:
            inputs[:, self.names.index(name)] = means[self.names.index(name)]
        return replace(self, inputs=inputs)


@dataclass(frozen=True)
class TrainingData:
    """One training dataset of the feature view, by part.

    Attributes
    ----------
    parts : dict of str to Samples
        ``train``, ``validation``, ``test`` and, for cubes, ``test_known``.
    means : numpy.ndarray of float32, shape (inputs,)
        Mean of every input over the training cases, weighted: that of an ordinary cell-day.
    version : int
        Version of the training dataset in the feature store.
    """

    parts: dict[str, Samples]
    means: Floats
    version: int

    @property
    def train(self) -> Samples:
        """Cases to train on."""
        return self.parts["train"]

    @property
    def validation(self) -> Samples:
        """Cases for every choice."""
        return self.parts["validation"]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return self.train.names

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """Number of cases and of fires in each part."""
        return {part: {"cases": len(one.fire), "fires": int(one.fire.sum())} for part, one in self.parts.items()}


def require_cube(fs: Any, cube: str) -> Any:
    """Return the feature view of a source that the feature pipeline has written.

    Raises
    ------
    TrainingDataError
        If there are no rows of it. Nothing is created then.
    """
    hint = f"Run the feature stage first: deepcube run wildfire --stage features. (source {cube!r})"
    view = fs.get_feature_view(f"wildfire_{cube}", wildfire.VERSION)
    if view is None:
        raise TrainingDataError(f"Found no feature view wildfire_{cube}; expected the cases of a source. {hint}")
    return view


def read_training_data(view: Any) -> TrainingData:
    """Create a training dataset of the feature view and read its parts.

    Parameters
    ----------
    view : hsfs.feature_view.FeatureView
        The wildfire feature view of one source.

    Returns
    -------
    TrainingData
        Everything that is filled in, is filled in from the training cases.

    Raises
    ------
    TrainingDataError
        If a part is absent or has one outcome only.
    """
    frame, labels = view.training_data(
        description="wildfire, split by year and block", training_helper_columns=True, event_time=True
    )
    names = wildfire.view_inputs(view)
    # Joined groups have a time, too, so the client may put project, group and version before the name.
    time = min((column for column in frame.columns if f"_{column}".endswith("_time")), key=_foreign)
    fire = labels[wildfire.LABEL].to_numpy(int)
    raw = frame[names].to_numpy(np.float64)
    part = frame["part"].astype(str).to_numpy()
    weight = frame["weight"].to_numpy(np.float64)
    training = part == "train"
    means = training_means(raw[training], weight[training]) if training.any() else np.zeros(len(names))
    filled = np.where(np.isfinite(raw), raw, means).astype(np.float32)
    day = pd.to_datetime(frame[time]).dt.tz_localize(None).to_numpy("datetime64[D]")
    parts = {}
    for name in wildfire.PARTS:
        mine = (part == name) & (fire >= 0)
        if mine.any():
            parts[name] = Samples(filled[mine], fire[mine] == 1, weight[mine], day[mine], tuple(names))
    for name in ("train", "validation", "test"):
        if name not in parts or parts[name].fire.all() or not parts[name].fire.any():
            found = f"{len(parts[name].fire)} cases of one outcome" if name in parts else "no case"
            raise TrainingDataError(
                f"Found {found} in the part {name!r}; expected fires and others. Use a larger cube."
            )
    return TrainingData(parts, means.astype(np.float32), int(view.get_last_accessed_training_dataset()))


def _foreign(column: str) -> bool:
    return column != "time" and not column.endswith("wildfire_targets_1_time")


def training_means(raw: Weights, weight: Weights) -> Weights:
    """Return the weighted mean of every column over its known values; 0 where none is known."""
    known = np.isfinite(raw)
    total = (known * weight[:, None]).sum(axis=0)
    return np.asarray((np.nan_to_num(raw) * known * weight[:, None]).sum(axis=0) / np.where(total > 0, total, 1.0))
