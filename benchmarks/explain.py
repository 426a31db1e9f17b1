"""``python -m benchmarks.explain``: seconds per explanation, beside raw alibi and shap on the same model in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.measure import Comparison, in_turn, show
from deepcube.explain import METHODS, SCORES, TracedModel, adapt, explain, load_alibi

_FEATURES, _OUTPUTS, _BACKGROUND = 21, 3, 50
_STEPS, _COALITIONS = 50, 512


def main() -> None:
    """Time every method and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4, help="predictions to explain at once (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="timed rounds of each measure (default: %(default)s)")
    parser.add_argument("--scores", action="store_true", help="also time each score, beside the plain explanation")
    arguments = parser.parse_args()
    load_alibi()
    cases = {**_local(arguments.rows), **_trees(arguments.rows), **_global()}
    lines = []
    console = Console()
    for what, (ours, peer, peer_name) in track(cases.items(), "measuring", console=console, transient=True):
        median = in_turn({"ours": ours, "peer": peer}, arguments.runs)
        lines.append(Comparison(what, 1e3 * median["ours"], 1e3 * median["peer"], peer_name, "ms"))
    if arguments.scores:
        lines += _scores(arguments.rows, arguments.runs)
    show(lines, console)


Case = tuple[Callable[[], object], Callable[[], object], str]


def _network() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    raw = keras.Input((_FEATURES,))
    hidden = keras.layers.Dense(32, "gelu")(raw)
    return keras.Model(raw, keras.layers.Dense(_OUTPUTS)(keras.layers.Dense(16, "gelu")(hidden)))


def _data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(random.normal(size=(n, _FEATURES)).astype("float32") for n in (rows, _BACKGROUND))  # type: ignore[return-value]


def _local(rows: int) -> dict[str, Case]:
    """Methods for a Keras network."""
    import tensorflow as tf
    from alibi.explainers import IntegratedGradients, KernelShap

    network, (x, background) = _network(), _data(rows)
    traced = TracedModel(network)
    mean = np.tile(background.mean(axis=0), (rows, 1)).astype("float32")

    def raw_gradients() -> None:
        explainer = IntegratedGradients(network, method="gausslegendre", n_steps=_STEPS, internal_batch_size=4096)
        for output in range(_OUTPUTS):
            explainer.explain(x, baselines=mean, target=output)

    def raw_kernel() -> None:
        explainer = KernelShap(lambda part: network(part.astype("float32")).numpy(), task="regression")
        explainer.fit(background)
        explainer.explain(x, silent=True, nsamples=_COALITIONS, l1_reg=False)

    def raw_gradient_x_input() -> None:
        for output in range(_OUTPUTS):
            point = tf.constant(x)
            with tf.GradientTape() as tape:
                tape.watch(point)
                value = tf.reduce_sum(network(point)[:, output])
            _ = tape.gradient(value, point).numpy() * (x - mean)

    return {
        f"integrated gradients, {_STEPS} steps": (
            lambda: explain(traced, x, baseline=mean, samples=_STEPS),
            raw_gradients,
            "alibi, Keras model as it is",
        ),
        "gradient x input": (
            lambda: explain(traced, x, "gradient_x_input", baseline=mean),
            raw_gradient_x_input,
            "TensorFlow, Keras model as it is",
        ),
        f"kernel SHAP, {_COALITIONS} coalitions": (
            lambda: explain(traced, x, "kernel_shap", background=background, samples=_COALITIONS),
            raw_kernel,
            "alibi, Keras model as it is",
        ),
    }


def _trees(rows: int) -> dict[str, Case]:
    """Tree SHAP of a forest of three classes."""
    import shap
    from sklearn.ensemble import RandomForestClassifier

    x, _ = _data(max(rows, 4))
    random = np.random.default_rng(1)
    table = random.normal(size=(500, _FEATURES))
    labels = (table[:, 0] > 0).astype(int) + (table[:, 1] > 0)
    forest = RandomForestClassifier(50, max_depth=6, random_state=0).fit(table, labels)
    return {
        "tree SHAP, 50 trees": (
            lambda: explain(forest, x, "tree_shap"),
            lambda: shap.TreeExplainer(forest).shap_values(x),
            "shap",
        )
    }


def _global() -> dict[str, Case]:
    """Explanations of a model as a whole, of 200 rows."""
    from alibi.explainers import ALE, PartialDependence, PermutationImportance

    network, (x, _) = _network(), _data(200)
    traced = TracedModel(network)
    truth = np.asarray(network(x), np.float64)
    predict = adapt(traced).predict
    names = [f"feature_{i}" for i in range(_FEATURES)]

    def loss(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: Any = None) -> float:
        return float(np.sqrt(np.mean((y_true - y_pred) ** 2))) + 1e-9

    def raw_importance() -> None:
        explainer = PermutationImportance(predict, loss_fns={"rmse": loss}, feature_names=names)
        explainer.explain(x, truth, n_repeats=5)

    return {
        "ALE": (lambda: explain(traced, x, "ale"), lambda: ALE(predict).explain(x, min_bin_points=10), "alibi"),
        "partial dependence": (
            lambda: explain(traced, x, "partial_dependence"),
            lambda: PartialDependence(predict).explain(x, kind="average", grid_resolution=20),
            "alibi",
        ),
        "permutation importance, 5 repeats": (
            lambda: explain(traced, x, "permutation_importance", truth=truth, repeats=5),
            raw_importance,
            "alibi",
        ),
    }


def _scores(rows: int, runs: int) -> list[Comparison]:
    """Each score beside the explanation that it is of."""
    traced, (x, background) = TracedModel(_network()), _data(rows)
    baseline = background.mean(axis=0)

    def with_scores(scores: list[str]) -> Callable[[], object]:
        return lambda: explain(traced, x, baseline=baseline, scores=scores)

    median = in_turn({"none": with_scores([]), **{name: with_scores([name]) for name in SCORES}}, runs)
    plain = METHODS["integrated_gradients"].title + " alone"
    return [
        Comparison(f"with the score {name}", 1e3 * median[name], 1e3 * median["none"], plain, "ms") for name in SCORES
    ]


if __name__ == "__main__":
    main()
