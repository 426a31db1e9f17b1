"""Maggy's optimizers with their faults corrected, behind one small interface that a record can be replayed against.

What is corrected, each with a regression test:

- ASHA took the *worst* trials for ``direction="min"``; trials that repeat a configuration are drawn again.
- TPE and GP raised for search spaces that mix numbers and strings: NumPy made one array of strings of them.
- TPE and GP ran ``workers - 1`` trials too many: they counted the finished ones only (:class:`Suggester` counts).
- Random search refused spaces without a number, and repeated configurations.
- Hyperband waited for ever for a trial that had failed; a failed trial now counts as the worst of its rung.
- All drew from the global random generators: here they draw from their own, and leave the global ones alone.

TPE's expected improvement and GP's candidates are computed for all candidates at once; Maggy's own loops are the oracle
in the tests.
"""

import itertools
import math
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from maggy import Searchspace
from maggy.optimizer import GridSearch as MaggyGridSearch
from maggy.optimizer import RandomSearch as MaggyRandomSearch
from maggy.optimizer.abstractoptimizer import AbstractOptimizer
from maggy.optimizer.asha import Asha as MaggyAsha
from maggy.optimizer.bayes.tpe import TPE as MaggyTPE  # noqa: N811
from maggy.trial import Trial

Floats = npt.NDArray[np.float64]
_CONTINUOUS = (Searchspace.DOUBLE, Searchspace.INTEGER)
_DRAWS = 100
_LEAST_WIDTH = 1e-3


class _Quiet:
    """No log file per experiment, and stores that know failed trials."""

    def _log(self, msg: Any) -> None:
        """Write nothing: every trial is in the journal, with what was sampled."""

    def _initialize(self, exp_dir: str) -> None:
        self.initialize()  # type: ignore[attr-defined]

    def _finalize_experiment(self, trials: Any) -> None:
        self.finalize_experiment(trials)  # type: ignore[attr-defined]


class _Failures(_Quiet):
    """Lets Hyperband go on after a failure: a failed trial has the worst metric."""

    failed_store: dict[str, Trial]

    def init_pruner(self, pruner: str, pruner_kwargs: Any) -> None:
        self.failed_store = {}
        super().init_pruner(pruner, pruner_kwargs)  # type: ignore[misc]
        self.pruner._log = lambda msg: None  # type: ignore[attr-defined]
        self.pruner._close_log = lambda: None  # type: ignore[attr-defined]

    def get_metrics_dict(self, trial_ids: Any = "all") -> dict[str, float]:
        known: dict[str, float] = super().get_metrics_dict(trial_ids)  # type: ignore[misc]
        failed = getattr(self, "failed_store", {})
        chosen = failed if trial_ids == "all" else [i for i in failed if i == trial_ids or i in trial_ids]
        return known | dict.fromkeys(chosen, math.inf)

    def get_hparams_dict(self, trial_ids: Any = "all") -> dict[str, Any]:
        known: dict[str, Any] = super().get_hparams_dict(trial_ids)  # type: ignore[misc]
        failed = getattr(self, "failed_store", {})
        return {i: trial.params for i, trial in failed.items() if i == trial_ids or i in trial_ids} | known


class RandomSearch(_Failures, MaggyRandomSearch):
    """Random search over any space, each configuration once."""

    def initialize(self) -> None:
        """Draw all configurations."""
        seen: set[str] = set()
        buffer: list[dict[str, Any]] = []
        for _ in range(self.num_trials):
            params = _draw_new(self.searchspace, seen)
            if params is None:
                break
            buffer.append(params)
        self.config_buffer = buffer[::-1]


class GridSearch(_Quiet, MaggyGridSearch):
    """Grid search."""


class Asha(_Quiet, MaggyAsha):
    """Asynchronous successive halving (Li et al., 2018, https://arxiv.org/abs/1810.05934), in the right direction."""

    def get_suggestion(self, trial: Trial | None = None) -> Trial | None:
        """Return the promotion of a good trial, else a new configuration, else None."""
        for _ in range(_DRAWS):
            suggested = super().get_suggestion(trial)
            if suggested is None or sum(t.trial_id == suggested.trial_id for t in self._all_trials()) == 1:
                return suggested
            self.rungs[0].pop()
        return None

    def _all_trials(self) -> Iterator[Trial]:
        return itertools.chain.from_iterable(self.rungs.values())

    def _top_k(self, rung_k: int, number: int) -> list[Trial]:
        finished = [trial for trial in self.rungs[rung_k] if trial.status == Trial.FINALIZED]
        return sorted(finished, key=lambda t: t.final_metric, reverse=self.direction == "max")[: max(number, 0)]


class _Encoded(_Failures):
    """Configurations as arrays of objects, so that numbers stay numbers beside strings."""

    def get_hparams_array(self, budget: int = 0) -> npt.NDArray[Any]:
        """Return the configurations of the finished trials, shape (trials, hyperparameters)."""
        return self._table([t for t in self.final_store if not budget or t.params["budget"] == budget])  # type: ignore[attr-defined]

    def _table(self, trials: list[Trial]) -> npt.NDArray[Any]:
        names = self.searchspace.keys()  # type: ignore[attr-defined]
        table = np.empty((len(trials), len(names)), dtype=object)
        for row, trial in enumerate(trials):
            table[row] = [trial.params[name] for name in names]
        return table


class TPE(_Encoded, MaggyTPE):
    """Tree-structured Parzen estimator as in BOHB (Falkner et al., 2018), all candidates scored at once."""

    def sampling_routine(self, budget: int = 0) -> dict[str, Any]:
        """Draw candidates around good configurations and return the one of the largest expected improvement."""
        good, bad = self.models[budget]["good"], self.models[budget]["bad"]
        specs = list(self.searchspace.items())
        centres = good.data[np.random.randint(0, len(good.data), size=self.n_samples)]
        candidates = np.empty((self.n_samples, len(specs)))
        for column, (spec, bandwidth) in enumerate(zip(specs, good.bw, strict=True)):
            mean = centres[:, column]
            if spec["type"] in _CONTINUOUS:
                candidates[:, column] = _truncated_normal(mean, max(bandwidth, self.min_bw) * self.bw_factor)
            else:
                keep = np.random.rand(self.n_samples) < 1 - bandwidth
                other = np.random.randint(len(spec["values"]), size=self.n_samples)
                candidates[:, column] = np.where(keep, mean.astype(int), other)
        best = candidates[np.argmax(expected_improvement(candidates, good, bad))]
        best = [float(value) for value in best]
        named: dict[str, Any] = self.searchspace.list_to_dict(self.searchspace.inverse_transform(best))
        return named


def expected_improvement(candidates: Floats, good: Any, bad: Any) -> Floats:
    """Return the ratio of the densities of good and bad configurations at each candidate, shape (candidates,)."""
    improvement: Floats = np.maximum(_density(candidates, good), 1e-32) / np.maximum(_density(candidates, bad), 1e-32)
    return improvement


def _density(points: Floats, kde: Any) -> Floats:
    """Product kernel density as of statsmodels' KDEMultivariate: Gaussian, and Aitchison-Aitken for unordered ones."""
    product = np.ones((len(points), len(kde.data)))
    width = 1.0
    for column, (kind, bandwidth) in enumerate(zip(kde.var_type, kde.bw, strict=True)):
        data, values = kde.data[:, column], points[:, column, None]
        if kind == "c":
            bandwidth = bandwidth or _LEAST_WIDTH  # all configurations agree: statsmodels would divide by nothing
            product *= np.exp(-0.5 * ((values - data) / bandwidth) ** 2) / math.sqrt(2 * math.pi)
            width *= bandwidth
        else:
            levels = len(np.unique(data))
            other = bandwidth / (levels - 1) if levels > 1 else 0.0
            product *= np.where(values == data, 1 - bandwidth, other)
    density: Floats = product.sum(axis=1) / width / len(kde.data)
    return density


def _truncated_normal(mean: Floats, width: float) -> Floats:
    """Draw from normal distributions cut to 0 and 1, by the inverse of their distribution function."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-mean / width), ndtr((1 - mean) / width)
    drawn: Floats = np.clip(mean + width * ndtri(low + np.random.rand(len(mean)) * (high - low)), 0.0, 1.0)
    return drawn


def gaussian_process(**options: Any) -> AbstractOptimizer:
    """Return Maggy's Gaussian-process optimizer, corrected; importing it takes seconds, so it is made on demand."""
    from maggy.optimizer.bayes.gp import GP as MaggyGP  # noqa: N811

    class GP(_Encoded, MaggyGP):
        def get_busy_locations(self, budget: int = 0) -> npt.NDArray[Any]:
            return self._table(
                [
                    trial
                    for trial in self.trial_store.values()
                    if trial.info_dict.get("sample_type") == "model" and trial.info_dict.get("model_budget") == budget
                ]
            )

        def update_model(self, budget: int = 0) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # bounds of kernel parameters that are reached; nothing to act upon
                super().update_model(budget)

        def sampling_routine(self, budget: int = 0) -> dict[str, Any]:
            """Return the configuration with the best acquisition: the best random ones, each refined."""
            points = self._random_points(self.n_points)
            surrogate = (self.models[budget], self.ybest(budget), self.acq_func_kwargs)
            values = self.acq_fun.evaluate(points, *surrogate)
            best = points[np.argmin(values)]
            if self.acq_optimizer == "lbfgs":
                starts = points[np.argsort(values)[: self.n_restarts_optimizer]]
                refined = [self._refine(start, surrogate) for start in starts]
                best = min(refined, key=lambda pair: pair[1])[0]
            legal = self.searchspace.inverse_transform(np.clip(best, 0.0, 1.0), normalize_categorical=True)
            named: dict[str, Any] = self.searchspace.list_to_dict(legal)
            return named

        def _random_points(self, count: int) -> Floats:
            """Draw legal configurations as points of the unit cube, with budget 1 last if the model knows budgets."""
            points = np.random.rand(count, len(self.searchspace.keys()) + bool(self.interim_results))
            for column, spec in enumerate(self.searchspace.items()):
                if spec["type"] != Searchspace.DOUBLE:
                    low, high = spec["values"] if spec["type"] in _CONTINUOUS else (0, len(spec["values"]) - 1)
                    points[:, column] = np.round(points[:, column] * (high - low)) / max(high - low, 1)
            if self.interim_results:
                points[:, -1] = 1.0
            return points

        def _refine(self, start: Floats, surrogate: tuple[Any, ...]) -> tuple[Floats, float]:
            from scipy.optimize import fmin_l_bfgs_b

            numeric = self.async_strategy == "asy_ts"  # Thompson sampling knows no gradient
            box = [(0.0, 1.0)] * len(start)
            found = fmin_l_bfgs_b(
                self.acq_fun.evaluate_1_d, start, args=surrogate, bounds=box, approx_grad=numeric, maxiter=20
            )
            return found[0], float(np.ravel(found[1])[0])

    return GP(**options)


def _draw_new(space: Searchspace, seen: set[str]) -> dict[str, Any] | None:
    """Draw a configuration that is not among the seen ones; None if none is found."""
    for _ in range(_DRAWS):
        params: dict[str, Any] = space.get_random_parameter_values(1)[0]
        trial_id = Trial._generate_id(params)
        if trial_id not in seen:
            seen.add(trial_id)
            return params
    return None


@contextmanager
def own_randomness(state: dict[str, Any]) -> Iterator[None]:
    """Swap the global random generators for a private state, and back.

    Parameters
    ----------
    state : dict
        Holds ``seed`` at first, then the private state between calls.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        if "python" in state:
            random.setstate(state["python"])
            np.random.set_state(state["numpy"])
        else:
            random.seed(state["seed"])
            np.random.seed(state["seed"])
        yield
    finally:
        state["python"], state["numpy"] = random.getstate(), np.random.get_state()
        random.setstate(python)
        np.random.set_state(numpy)
