"""Explanations for deployments: options of a request, checked; an answer within a time budget, saying what it left out.

A predictor of any framework builds one :class:`ServedExplainer` when it loads its model, and asks it to explain what a
request wants explained. Nothing here knows of the server: what is wrong with a request is an :class:`ExplainError`, a
``ValueError``, which model servers answer with status 400.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import xarray as xr

from deepcube.explain.attribution import as_dict
from deepcube.explain.errors import MethodError, OptionsError
from deepcube.explain.inputs import as_inputs, fit_baseline
from deepcube.explain.interface import explain
from deepcube.explain.models import ModelAdapter, adapt, randomised
from deepcube.explain.pace import Pace
from deepcube.explain.quality import SCORES, score
from deepcube.explain.recipes import METHODS, Recipe
from deepcube.explain.watch import OutOfTime, Watch, watched

BUDGET = 5.0
"""Seconds that an explanation may take unless the request says otherwise."""

LONGEST = 60.0
"""Largest budget that a request may ask for, in seconds."""

_CHEAP = ("completeness_error", "complexity", "sparseness")
_FIXED = (*_CHEAP, "randomisation", "agreement")  # scores that cannot be had for less work
_AGAIN = ("max_sensitivity", "randomisation")  # make the explanation again
_ASKED_FOR = ("tree_shap", "deep_lift")  # fit only some models of their kind
_RESERVE = 0.85
_LEAST = 0.125  # share of the perturbations that scores are made of at least
_KEYS = ("method", "scores", "budget_seconds", "samples")


@dataclass(frozen=True)
class ExplainOptions:
    """What a request wants explained, and how.

    Attributes
    ----------
    method : str
        Name of the method.
    scores : tuple of str
        Names of the scores wanted.
    budget_seconds : float
        Time that all explanations of the request may take together.
    samples : int or None
        Points or coalitions wanted; the method's default if None.
    """

    method: str
    scores: tuple[str, ...] = ()
    budget_seconds: float = BUDGET
    samples: int | None = None

    @classmethod
    def parse(cls, value: Any, methods: Sequence[str], *, where: str = "the request") -> Self | None:
        """Read the value of ``explain`` in a request.

        Parameters
        ----------
        value : object
            ``true`` or ``false``, or a mapping with any of ``method``, ``scores`` (true, false or names),
            ``budget_seconds`` and ``samples``.
        methods : sequence of str
            Methods that the model allows, the default first.
        where : str
            Where the value stands, for messages.

        Returns
        -------
        ExplainOptions or None
            The options; None if no explanation is wanted.

        Raises
        ------
        OptionsError
            If an option is unknown or makes no sense.
        """
        if isinstance(value, bool):
            return cls(methods[0]) if value else None
        if not isinstance(value, Mapping):
            raise OptionsError(
                f"{where}: found explain={value!r}; expected true or false, or an object with {', '.join(_KEYS)}."
            )
        unknown = [str(key) for key in value if key not in _KEYS]
        if unknown:
            raise OptionsError(f"{where}: found unknown option {', '.join(unknown)}; expected {', '.join(_KEYS)}.")
        method = value.get("method", methods[0])
        if method not in methods:
            raise OptionsError(f"{where}: found method {method!r}; this model is explained by {', '.join(methods)}.")
        samples = value.get("samples")
        if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int) or samples < 1):
            raise OptionsError(f"{where}: found samples={samples!r}; expected a whole number of at least 1.")
        most = 4 * METHODS[method].samples
        if samples is not None and samples > max(most, 1):
            raise OptionsError(f"{where}: found samples={samples}; expected at most {most} for {method}.")
        return cls(method, _scores(value.get("scores", False), where), _budget(value, where), samples)


@dataclass
class _Work:
    """One request being explained: what is left of its budget, and what had to be left out."""

    options: ExplainOptions
    started: float
    left_out: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.options.budget_seconds * _RESERVE - (time.perf_counter() - self.started)


class ServedExplainer:
    """Explains predictions of one model within time budgets.

    How long a method or a score takes is learnt: from a first call of each in :meth:`warm_up`, and from every call
    since. Before each step the largest number of samples is chosen that the rest of the budget allows; where not even
    the smallest fits, the step is left out. What takes longer than that is stopped between two calls of the model:
    attributions are then made again from the fewest samples, scores left out. All of this is said in the answer, and if
    it comes late even so (tree SHAP calls no model, one call may take long), that it does.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes; a Keras model is best given as a
        :class:`deepcube.explain.TracedModel`, which is fast when called often.
    outputs : sequence of str
        Names of its outputs.
    output_units : str
        Unit of the outputs.
    baseline_meaning : str
        What the baselines stand for.
    methods : sequence of str, optional
        Methods to offer, the default first; by default all that fit every model of its kind.

    Raises
    ------
    MethodError
        If a method to offer does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        *,
        outputs: Sequence[str],
        output_units: str,
        baseline_meaning: str,
        methods: Sequence[str] | None = None,
    ) -> None:
        self._watch = Watch()
        self._model = watched(adapt(model), self._watch)
        fitting = [name for name, method in METHODS.items() if self._model.kind in method.kinds]
        self.methods = tuple(methods or (name for name in fitting if name not in _ASKED_FOR))
        for name in self.methods:
            Recipe(name).check(self._model)
        self._named: dict[str, Any] = {
            "outputs": list(outputs),
            "output_units": output_units,
            "baseline_meaning": baseline_meaning,
        }
        self._pace = Pace()
        self._random: ModelAdapter | None = None
        self._lock = threading.Lock()  # TensorFlow and NumPy's global random state: one explanation at a time

    def options(self, value: Any, *, where: str = "the request") -> ExplainOptions | None:
        """Read the value of ``explain`` in a request; see :meth:`ExplainOptions.parse`."""
        return ExplainOptions.parse(value, self.methods, where=where)

    def warm_up(self, inputs: xr.DataArray, baseline: xr.DataArray) -> None:
        """Make a small explanation by every method with every score, and learn how long they take.

        Parameters
        ----------
        inputs, baseline : xarray.DataArray
            One instance of the model's inputs, and its baseline; not equal to each other.
        """
        few = {method: METHODS[method].fewest or None for method in self.methods}
        for method, samples in few.items():  # loads and compiles what the calls that are measured find there
            self.explain(inputs, baseline, ExplainOptions(method, ("randomisation",), math.inf, samples))
        self._pace.forget("")
        for method, samples in few.items():
            self.explain(inputs, baseline, ExplainOptions(method, tuple(SCORES), math.inf, samples))
            if samples:
                self.explain(inputs, baseline, ExplainOptions(method, (), math.inf, 8 * samples))

    def explain(
        self, inputs: Any, baseline: xr.DataArray, options: ExplainOptions, *, since: float | None = None
    ) -> list[dict[str, Any]]:
        """Explain predictions within the budget of a request.

        Parameters
        ----------
        inputs : as for :func:`deepcube.explain.explain`
            What to explain.
        baseline : xarray.DataArray
            One reference for all instances, or one each.
        options : ExplainOptions
            What the request wants.
        since : float, optional
            When the budget began to run, by ``time.perf_counter()``: a predictor gives the time that the request came.

        Returns
        -------
        list of dict
            For each instance, JSON-able: as :func:`deepcube.explain.as_dict`, and ``settings`` (seed, points or
            coalitions), ``scores`` (by name and output, null where not defined), ``degraded`` (what was reduced or left
            out for the budget, and whether the answer is late, in words), ``budget_seconds`` and ``seconds``. An
            instance that the budget had no time for has only ``method``, ``omitted`` (why), and the last three.

        Raises
        ------
        ExplainError
            If inputs, baseline or options do not fit the model.
        """
        work = _Work(options, time.perf_counter() if since is None else since)
        array = as_inputs(inputs)
        reference = fit_baseline(array, baseline)
        answers: list[dict[str, Any]] = []
        if self._lock.acquire(timeout=-1 if math.isinf(work.left) else max(0.0, work.left)):
            try:
                while len(answers) < len(array):
                    part = slice(len(answers), len(answers) + self._fits(work, len(array) - len(answers)))
                    made = self._part(work, array[part], reference[part], rest=len(array) - part.stop)
                    if not made:
                        break
                    answers += made
            finally:
                self._lock.release()
        missing = len(array) - len(answers)
        why = f"the budget of {options.budget_seconds:g} s was spent; ask for fewer instances or a larger budget"
        answers += [{"method": options.method, "omitted": why, "degraded": []} for _ in range(missing)]
        seconds = round(time.perf_counter() - work.started, 4)
        late = [f"took {seconds:.2g} s"] if seconds > options.budget_seconds else []
        took = {"budget_seconds": options.budget_seconds, "seconds": seconds}
        return [answer | took | {"degraded": [*answer["degraded"], *late]} for answer in answers]

    def _fits(self, work: _Work, instances: int) -> int:
        """Return how many instances half of the rest of the budget explains with the fewest samples; one at least."""
        if math.isinf(work.left):
            return instances
        fewest = METHODS[work.options.method].fewest or 1
        count = instances
        while count > 1 and self._pace.seconds(work.options.method, count * fewest) > work.left / 2:
            count //= 2
        return count

    def _part(self, work: _Work, inputs: xr.DataArray, baseline: xr.DataArray, rest: int) -> list[dict[str, Any]]:
        """Explain some of the instances; return nothing if there is no time for them."""
        method, kind = work.options.method, METHODS[work.options.method]
        wanted = work.options.samples or kind.samples
        samples, degraded = wanted, []
        least = self._pace.seconds(method, (kind.fewest or 1) * len(inputs))
        # Stopped then, there is time to begin again with the fewest samples, on a machine that is slower than it was.
        first = max(0.5 * work.left, min(0.7 * work.left, work.left - 2 * least))
        if kind.samples:
            share = len(inputs) / (len(inputs) + rest)
            # Half of what is left goes to the attributions where scores are wanted, too.
            allowed = work.left * share * (0.5 if set(work.options.scores) - set(_CHEAP) else 1.0)
            while samples > kind.fewest and self._pace.seconds(method, samples * len(inputs)) > min(allowed, first):
                samples = max(kind.fewest, samples // 2)
        # Where the fewest take nearly as long, beginning again would not help.
        more = samples > kind.fewest > 0 and 2 * least < self._pace.seconds(method, samples * len(inputs))
        result = self._attributed(work, inputs, baseline, samples, first if more else work.left)
        if result is None and more:
            samples = kind.fewest
            result = self._attributed(work, inputs, baseline, samples, work.left)
        if result is None:
            return []
        if samples < wanted:
            degraded.append(f"{kind.sampled} {wanted} -> {samples}")
        scores = self._scores(work, result, Recipe(method, samples if kind.samples else None), degraded)
        settings = {name: result.attrs[name] for name in ("seed", kind.sampled) if name in result.attrs}
        return [
            {
                **as_dict(result, number),
                "settings": settings,
                "scores": {name: _by_output(values, number) for name, values in scores.items()},
                "degraded": degraded,
            }
            for number in range(len(inputs))
        ]

    def _attributed(
        self, work: _Work, inputs: xr.DataArray, baseline: xr.DataArray, samples: int, seconds: float
    ) -> xr.Dataset | None:
        """Return attributions; None if they take longer than these seconds."""
        method, effort = work.options.method, (samples or 1) * len(inputs)
        sampled, found = METHODS[method].samples, None
        # With samples it calls the model again and again and can be stopped, so that trying costs no more than is left.
        if seconds > 0 and (sampled or self._affordable(method, effort, seconds)):
            with self._timed(method, effort, seconds):
                chosen = samples if sampled else None
                found = explain(self._model, inputs, method, baseline=baseline, samples=chosen, **self._named)
        return found

    def _affordable(self, step: str, effort: float, seconds: float) -> bool:
        """Tell whether a step is expected to be done in time; if not, it is expected to be faster next time."""
        if seconds > 0 and self._pace.seconds(step, effort) <= seconds:
            return True
        self._pace.doubt(step)
        return False

    @contextmanager
    def _timed(self, step: str, effort: float, seconds: float) -> Iterator[None]:
        """Learn how long a step takes, and leave it where it takes longer than these seconds."""
        began = time.perf_counter()
        try:
            with self._watch.until(seconds):
                yield
        except OutOfTime:
            took = time.perf_counter() - began  # and it would have taken longer
            if took > self._pace.seconds(step, effort):
                self._pace.learn(step, effort, took)
        else:
            self._pace.learn(step, effort, time.perf_counter() - began)

    def _scores(self, work: _Work, result: xr.Dataset, recipe: Recipe, degraded: list[str]) -> dict[str, xr.DataArray]:
        found: dict[str, xr.DataArray] = {}
        names = sorted(work.options.scores, key=lambda name: name not in _CHEAP)
        for position, name in enumerate(names):
            key, count = f"{recipe.method}:{name}", self._load(name, recipe, result["attribution"].shape[0])
            effort = 1.0
            allowed = min(work.left / (len(names) - position) * 2, work.left)
            while name not in _FIXED and effort > _LEAST and self._pace.seconds(key, count * effort) > allowed:
                effort /= 2
            if self._affordable(key, count * effort, work.left):
                try:
                    with self._timed(key, count * effort, work.left):
                        found[name] = self._score(result, name, recipe, effort)
                except MethodError as error:
                    degraded.append(f"score {name} does not fit: {error}")
                    continue
            if name not in found:
                degraded.append(f"score {name} left out")
            elif effort < 1:
                degraded.append(f"score {name} from {effort:.0%} of the perturbations")
        return found

    def _load(self, name: str, recipe: Recipe, instances: int) -> float:
        """Return an amount of work that the seconds of a score grow with."""
        if name in _AGAIN:
            return self._pace.seconds(recipe.method, instances * (recipe.samples or 1)) or 1.0
        return float(instances)

    def _score(self, result: xr.Dataset, name: str, recipe: Recipe, effort: float) -> xr.DataArray:
        if name == "randomisation" and self._random is None:
            random = randomised(self._model)  # of torch it is a copy, which is watched as the model is
            self._random = random if random.kind == "torch" else watched(random, self._watch)
        return score(self._model, result, [name], recipe=recipe, effort=effort, random_model=self._random)[name]


def _scores(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, bool):
        return tuple(SCORES) if value else ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise OptionsError(f"{where}: found scores={value!r}; expected true, false or a list of names.")
    unknown = [str(name) for name in value if not isinstance(name, str) or name not in SCORES]
    if unknown:
        raise OptionsError(f"{where}: found unknown score {', '.join(unknown)}; expected some of {', '.join(SCORES)}.")
    return tuple(dict.fromkeys(value))


def _budget(value: Mapping[str, Any], where: str) -> float:
    budget = value.get("budget_seconds", BUDGET)
    number = isinstance(budget, int | float) and not isinstance(budget, bool)
    if not number or not 0 < budget <= LONGEST:
        raise OptionsError(f"{where}: found budget_seconds={budget!r}; expected more than 0, at most {LONGEST:g}.")
    return float(budget)


def _by_output(values: xr.DataArray, number: int) -> dict[str, float | None]:
    row = [float(value) for value in values.values[number]]
    names = [str(name) for name in values["output"].values]
    return {name: value if math.isfinite(value) else None for name, value in zip(names, row, strict=True)}
