"""Ablation: train without one feature, or without one part of the model, and see what is lost.

Every component is left out with several seeds, and each run is compared with the run of the same seed that has
everything, so that what differs between seeds cancels. The importance of a component is the mean of these differences,
with a confidence interval.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from maggy.ablation import AblationStudy
from maggy.trial import Trial

from deepcube.oblivious.calling import TrainResult
from deepcube.oblivious.driver import drives
from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.leaving_out import hold_constant, leave_out, without_part
from deepcube.oblivious.outcome import Outcome
from deepcube.oblivious.scores import spread
from deepcube.oblivious.search import TrialsDriver
from deepcube.oblivious.trials_config import TrialsConfig

BASE = ""
"""Name of the run that has everything."""


class AblationConfig(TrialsConfig):
    """What is lost without each feature and each part of the model.

    Parameters
    ----------
    features : sequence of str
        Features to leave out, one at a time; by default those of ``feature_view``.
    parts : sequence of str
        Parts of the model to leave out, one at a time: names of layers of a Keras ``Sequential`` model or of submodules
        of a torch module, or, with a ``*`` at the end, all whose names begin so.
    model, dataset, hparams
        As in :class:`~deepcube.oblivious.ObliviousConfig`.
    feature_view : hsfs.feature_view.FeatureView, optional
        Where the features come from; its labels are not left out.
    leave_out_feature : callable, optional
        ``leave_out_feature(dataset, feature)`` returns a dataset without the feature; by default
        :func:`~deepcube.oblivious.leaving_out.hold_constant`, which keeps the shape.
    leave_out_part : callable, optional
        ``leave_out_part(model, part)`` returns a factory of the model without the part; by default
        :func:`~deepcube.oblivious.leaving_out.without_part`.
    seeds : sequence of int
        Seeds; at least two, for an interval.
    confidence : float
        Probability that the interval covers the mean, between 0 and 1.
    options
        Those of :class:`~deepcube.oblivious.search.TrialsConfig`.

    Raises
    ------
    ExperimentConfigError
        If there is nothing to leave out, a name comes twice, or there are fewer than two seeds.
    """

    def __init__(
        self,
        features: Sequence[str] = (),
        parts: Sequence[str] = (),
        model: Any = None,
        dataset: Any = None,
        hparams: Mapping[str, Any] | None = None,
        *,
        feature_view: Any = None,
        leave_out_feature: Callable[[Any, str], Any] | None = None,
        leave_out_part: Callable[[Any, str], Any] | None = None,
        seeds: Sequence[int] = (0, 1, 2, 3, 4),
        confidence: float = 0.95,
        **options: Any,
    ) -> None:
        super().__init__(model, dataset, hparams, **options)
        if feature_view is not None and not features:
            features = [feature.name for feature in feature_view.features if not feature.label]
        self.features, self.model_parts, self.seeds = list(features), list(parts), [int(seed) for seed in seeds]
        self.confidence = confidence
        self.leave_out = partial(leave_out, leave_out_feature or hold_constant, leave_out_part or without_part)
        names = [*self.features, *self.model_parts]
        if not names:
            raise ExperimentConfigError("Found nothing to leave out; expected features, parts or a feature_view.")
        if len(set(names)) < len(names):
            raise ExperimentConfigError(f"Found a name twice among {', '.join(names)}; expected each component once.")
        if len(set(self.seeds)) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise ExperimentConfigError(f"Found seeds={self.seeds}; expected at least two different ones.")
        if not 0 < confidence < 1:
            raise ExperimentConfigError(f"Found confidence={confidence}; expected a probability between 0 and 1.")

    @classmethod
    def from_study(cls, study: AblationStudy, **options: Any) -> "AblationConfig":
        """Return the ablation of Maggy's description of one: its features, layers and groups of layers."""
        layers = study.model.layers
        groups = [f"{next(iter(group))}*" for group in layers.included_groups if len(group) == 1]
        parts = [*sorted(layers.included_layers), *sorted(groups)]
        model = options.pop("model", None) or study.model.base_model_generator
        return cls(sorted(study.features.included_features), parts, model, **options)

    def order(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a worker is told: the seed, and what to leave out."""
        kind, name = params["kind"], params["without"]
        return {"hparams": self.hparams, "seed": params["seed"], "without": None if name == BASE else [kind, name]}

    def parts(self) -> dict[str, Any]:
        """Return what every worker is sent."""
        return {**super().parts(), "leave_out": self.leave_out}

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for an ablation to be continued."""
        return {
            "features": self.features,
            "parts": self.model_parts,
            "seeds": self.seeds,
            **super().identity(),
        }


class _Listed:
    """Suggests what is on a list."""

    adaptive = False

    def __init__(self, trials: Sequence[Mapping[str, Any]]) -> None:
        self._waiting = [dict(params) for params in reversed(trials)]
        self.limit = len(trials)
        self.finished: list[Trial] = []

    @property
    def started(self) -> int:
        return self.limit - len(self._waiting)

    def next(self) -> Trial | None:
        return Trial(self._waiting.pop()) if self._waiting else None

    def finish(self, trial: Trial, metric: float) -> None:
        trial.final_metric = metric
        self.finished.append(trial)

    def fail(self, trial: Trial) -> None:
        trial.status = Trial.ERROR


@drives(AblationConfig)
class AblationDriver(TrialsDriver):
    """Runs an ablation."""

    mode = "ablation"
    config: AblationConfig

    def suggester(self) -> _Listed:
        """Return all runs, seed by seed."""
        config = self.config
        components = [
            ("base", BASE),
            *(("feature", f) for f in config.features),
            *(("part", p) for p in config.model_parts),
        ]
        return _Listed(
            [{"kind": kind, "without": name, "seed": seed} for seed in config.seeds for kind, name in components]
        )

    def summarize(self, outcomes: Mapping[str, Outcome], folder: Path) -> TrainResult:
        """Return the importance of each component, the most important first, and draw it."""
        config = self.config
        found = {(o.hparams["without"], o.hparams["seed"]): o.metric for o in outcomes.values() if o.metric is not None}
        whole = {seed: found[BASE, seed] for seed in config.seeds if (BASE, seed) in found}
        if not whole:
            raise ExperimentConfigError("Found no finished run with all components; see `failed` in the journal.")
        sign = 1.0 if config.direction == "min" else -1.0
        components = {}
        for name in [*config.features, *config.model_parts]:
            losses = [sign * (found[name, seed] - base) for seed, base in whole.items() if (name, seed) in found]
            if losses:
                components[name] = {**interval(losses, config.confidence), "runs": len(losses)}
        ranking = sorted(components, key=lambda name: components[name]["importance"], reverse=True)
        base = spread(list(whole.values()))
        if config.figures:
            from deepcube.oblivious.study_figures import importance_bars

            importance_bars(
                {name: components[name] for name in ranking},
                folder / "ablation.png",
                title=config.name,
                metric=config.optimization_key,
                confidence=config.confidence,
            )
        summary = {"ranking": ranking, "components": components, "base": base, "seeds": config.seeds}
        return TrainResult(base["mean"], {config.optimization_key: base["mean"]}, summary)


def interval(values: Sequence[float], confidence: float) -> dict[str, float]:
    """Return the mean of some values and its confidence interval by Student's t.

    Parameters
    ----------
    values : sequence of float
        One value per seed.
    confidence : float
        Probability that the interval covers the mean.

    Returns
    -------
    dict of str to float
        ``importance`` (the mean), ``low`` and ``high``; for a single value, the interval is unbounded.
    """
    from scipy.stats import t

    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if array.size < 2:
        return {"importance": mean, "low": -np.inf, "high": np.inf}
    half = float(t.ppf((1 + confidence) / 2, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size))
    return {"importance": mean, "low": mean - half, "high": mean + half}
