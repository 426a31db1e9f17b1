"""The oblivious training function of the wildfire models, their calibration, and the ensemble that is registered.

**Class imbalance.** Models are trained on thinned non-fires (two for each fire), unweighted, and their log-odds are
then corrected for the thinning: ``logit(p) = logit(p') - log(w)``, w being the cell-days that a non-fire of training
stands for (King and Zeng, 2001, Political Analysis 9, equation 7). Last, two numbers are fitted on the **validation**
cases, weighted: ``logit(q) = a logit(p) + b`` (Platt, 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepcube.oblivious import MODEL_FILE
from training_pipelines.wildfire.data import Floats, Samples, Weights

if TYPE_CHECKING:
    import keras

    from deepcube.oblivious import Reporter

_CHUNK = 8192
_STEP = 10  # trees between two reports

LogOdds = npt.NDArray[np.float64]


def train_fn(hparams: dict[str, Any], model: Any, dataset: Any, reporter: Reporter) -> dict[str, float]:
    """Train a model of any family; the same function in every mode of training.

    Parameters
    ----------
    hparams : dict
        ``family``; for networks ``units``, ``dropout``, ``l2``, ``learning_rate``, ``batch_size``, ``epochs`` and
        ``patience``; for boosting ``trees``, ``depth`` and ``shrinkage``; ``seed``.
    model : callable
        Builds an untrained network: ``model(training_inputs, names, hparams)``.
    dataset : tuple of Samples
        Training and validation cases.
    reporter : Reporter
        Told the validation loss after each epoch or every ten trees, and where to leave the model.

    Returns
    -------
    dict of str to float
        ``validation_loss`` and ``train_loss`` of the kept model (see :func:`balanced_loss`), and ``epochs``.
    """
    train, validation = dataset
    fit = _boost if hparams["family"] == "boosting" else _fit
    network, epochs = fit(hparams, model, train, validation, reporter)
    network.save(reporter.directory / MODEL_FILE, include_optimizer=False)
    return {
        "validation_loss": balanced_loss(validation, log_odds(network, validation.inputs), train),
        "train_loss": balanced_loss(train, log_odds(network, train.inputs), train),
        "epochs": float(epochs),
    }


def balanced_loss(samples: Samples, odds: LogOdds, train: Samples) -> float:
    """Return the log loss of cases weighted as if as many of them were fires as in training.

    Parameters
    ----------
    samples : Samples
        Cases to score.
    odds : numpy.ndarray of float, shape (rows,)
        Log-odds of a model trained on the thinned sample, not corrected.
    train : Samples
        Training cases, whose share of fires counts.
    """
    share = float(train.fire.mean())
    rest = np.where(samples.fire, 0.0, samples.weight)
    weight = np.where(samples.fire, share / samples.fire.sum(), (1 - share) * rest / rest.sum())
    return float((weight * np.logaddexp(0.0, np.where(samples.fire, -odds, odds))).sum())


def _fit(
    hparams: dict[str, Any], model: Any, train: Samples, validation: Samples, reporter: Reporter
) -> tuple[keras.Model, int]:
    import keras

    network = model(train.inputs, train.names, hparams)
    network.compile(
        optimizer=keras.optimizers.Adam(hparams["learning_rate"]),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,  # compiling such small networks for the processor takes longer than training them
    )
    best, kept, waited, epoch = np.inf, network.get_weights(), 0, 0
    for epoch in range(hparams["epochs"]):
        history = network.fit(
            train.inputs, train.fire.astype(np.float32), batch_size=hparams["batch_size"], epochs=1, verbose=0
        )
        loss = balanced_loss(validation, log_odds(network, validation.inputs), train)
        reporter.broadcast(
            loss, step=epoch, metrics={"train_loss": float(history.history["loss"][0]), "validation_loss": loss}
        )
        waited = 0 if loss < best else waited + 1
        if loss < best:
            best, kept = loss, network.get_weights()
        if waited > hparams["patience"]:
            break
    network.set_weights(kept)
    return network, epoch + 1


def _boost(
    hparams: dict[str, Any], model: Any, train: Samples, validation: Samples, reporter: Reporter
) -> tuple[keras.Model, int]:
    """Fit boosted trees and keep as many of them as are best on validation."""
    from sklearn.ensemble import GradientBoostingClassifier

    from features.wildfire import Layout
    from features.wildfire.trees import trees_model

    columns = Layout(train.names).table()
    booster = GradientBoostingClassifier(
        n_estimators=hparams["trees"],
        max_depth=hparams["depth"],
        learning_rate=hparams["shrinkage"],
        subsample=0.5,
        max_features="sqrt",
        min_samples_leaf=10,
        random_state=np.random.randint(2**31 - 1),  # from the seed of the run, which the mode has set
    )
    booster.fit(train.inputs[:, columns], train.fire)
    stages = {name: booster.staged_decision_function(one.inputs[:, columns]) for name, one in _named(train, validation)}
    losses = []
    for number, (of_train, of_validation) in enumerate(zip(*stages.values(), strict=True)):
        losses.append(balanced_loss(validation, of_validation.ravel(), train))
        if (number + 1) % _STEP == 0:
            values = {"train_loss": balanced_loss(train, of_train.ravel(), train), "validation_loss": losses[-1]}
            reporter.broadcast(losses[-1], step=number // _STEP, metrics=values)
    count = int(np.argmin(losses)) + 1
    start = float(np.log(train.fire.mean() / (1 - train.fire.mean())))
    trees = [one for (one,) in booster.estimators_[:count]]
    return trees_model(trees, hparams["shrinkage"], start, train.names), count


def _named(train: Samples, validation: Samples) -> tuple[tuple[str, Samples], ...]:
    return (("train", train), ("validation", validation))


def log_odds(network: keras.Model, inputs: Floats) -> LogOdds:
    """Return the first output of a network for many rows, shape (rows,)."""
    chunks = [np.asarray(network(inputs[start : start + _CHUNK])) for start in range(0, len(inputs), _CHUNK)]
    return np.concatenate(chunks).astype(float)[:, 0]


def load_network(path: Path) -> keras.Model:
    """Load a network that :func:`train_fn` left, to predict with."""
    import keras

    import features.wildfire.trees  # noqa: F401  (registers the layer of trees)

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def thinning(train: Samples) -> float:
    """Return the logarithm of how much more a non-fire of training stands for than a fire."""
    return float(np.log(train.weight[~train.fire].mean() / train.weight[train.fire].mean()))


def calibrate(odds: LogOdds, validation: Samples) -> tuple[float, float]:
    """Fit slope and offset of log-odds on the validation cases (Platt, 1999).

    Returns
    -------
    tuple of float
        Slope and offset. An order that validation contradicts is not turned round: the slope is at least 0.05.
    """
    from sklearn.linear_model import LogisticRegression

    weight: Weights = validation.weight / validation.weight.mean()
    # A little regularised: where validation is separable, nothing else would bound the slope.
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(odds[:, None], validation.fire, sample_weight=weight)
    slope = float(fitted.coef_[0, 0])
    if slope >= 0.05:
        return slope, float(fitted.intercept_[0])
    rate = float(np.average(validation.fire, weights=weight))
    return 0.05, float(np.log(rate / (1 - rate)) - 0.05 * np.average(odds, weights=weight))


def probability(odds: LogOdds, slope: float = 1.0, offset: float = 0.0) -> LogOdds:
    """Return probabilities of log-odds, scaled and moved."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(slope * odds + offset, -60, 60))))


def ensemble(networks: Sequence[keras.Model], slope: float, offset: float) -> keras.Model:
    """Return one model of several: mean and spread of their log-odds, corrected and calibrated.

    Parameters
    ----------
    networks : sequence of keras.Model
        One for each seed, over the same inputs.
    slope, offset : float
        Applied to the mean; the slope to the spread, too.

    Returns
    -------
    keras.Model
        From inputs (rows, inputs) to ``log_odds`` and ``log_odds_spread`` (standard deviation over the seeds), shape
        (rows, 2).
    """
    import keras
    from keras import layers, ops

    raw = keras.Input(networks[0].input_shape[1:], name="inputs")
    for seed, network in enumerate(networks):
        network.name = f"seed_{seed}"
    each = [network(raw) for network in networks]
    together = layers.Concatenate()(each) if len(each) > 1 else each[0]
    mean = ops.mean(together, axis=1, keepdims=True)
    variance = ops.mean((together - mean) ** 2, axis=1, keepdims=True)
    scaled = layers.Rescaling(slope, offset, name="log_odds")(mean)
    spread = layers.Rescaling(abs(slope), name="log_odds_spread")(ops.sqrt(variance + 1e-12))
    return keras.Model(raw, layers.Concatenate()([scaled, spread]), name="wildfire")
