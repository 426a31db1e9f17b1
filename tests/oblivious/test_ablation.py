"""Ablation: components are ranked as they were planted, and each is left out exactly where it is."""

import functions
import numpy as np
import pandas as pd
import pytest
from maggy.ablation import AblationStudy
from maggy.experiment import experiment

from deepcube.oblivious import AblationConfig, ExperimentConfigError
from deepcube.oblivious.ablation import interval
from deepcube.oblivious.leaving_out import hold_constant, without_part

PLANTED = {"large": 3.0, "middle": -1.5, "small": 0.7, "tiny": 0.35, "none": 0.0}


def inputs(rows=600):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(rows, len(PLANTED))), columns=list(PLANTED))


def dataset():
    """Return inputs, and the targets that the planted coefficients make of them; noise comes with each seed."""
    return inputs(), inputs().to_numpy() @ np.array(list(PLANTED.values()))


def ablate(tmp_path, **options):
    options = {"optimization_key": "loss", "direction": "min", "directory": tmp_path, **options}
    config = AblationConfig(list(PLANTED), dataset=dataset(), **options)
    return experiment.lagom(functions.least_squares, config)


def test_planted_coefficients_are_ranked_right_in_twenty_of_twenty_seeds(tmp_path):
    result = ablate(tmp_path, seeds=range(20))["result"]
    metric = {(t["hparams"]["without"], t["hparams"]["seed"]): t["metric"] for t in result["trials"]}
    assert len(metric) == 20 * (len(PLANTED) + 1)
    right = sum(sorted(PLANTED, key=lambda name, seed=seed: -metric[name, seed]) == list(PLANTED) for seed in range(20))
    assert right == 20
    assert result["ranking"] == list(PLANTED)
    for name, found in result["components"].items():
        assert found["low"] < found["importance"] < found["high"]
        # Without x, its variance c^2 adds to that of the noise.
        assert found["importance"] == pytest.approx(np.hypot(PLANTED[name], 0.3) - 0.3, rel=0.15, abs=0.01)
    assert result["components"]["none"]["low"] < 0.002
    assert list(tmp_path.glob("*/ablation.png"))


def test_the_sign_follows_the_direction(tmp_path):
    def gain(dataset, seed):
        return {"loss": -functions.least_squares(dataset, seed)["loss"]}

    result = experiment.lagom(
        gain,
        AblationConfig(
            ["large", "none"],
            dataset=dataset(),
            optimization_key="loss",
            direction="max",
            seeds=[0, 1],
            directory=tmp_path,
            figures=False,
        ),
    )["result"]
    assert result["ranking"] == ["large", "none"]
    assert result["components"]["large"]["importance"] > 1


def test_the_interval_is_students(tmp_path):
    found = interval([1.0, 2.0, 3.0], 0.95)
    assert found == {
        "importance": 2.0,
        "low": pytest.approx(2 - 4.302653 / 3**0.5),
        "high": pytest.approx(2 + 4.302653 / 3**0.5),
    }


def test_a_constant_feature_is_that_of_the_training_rows_and_the_data_is_left_alone():
    train, validation = inputs(10), inputs(4)
    changed = hold_constant((train, "other", validation), "small")
    assert set(changed[0]["small"]) == set(changed[2]["small"]) == {train["small"].mean()}
    assert changed[1] == "other"
    assert train["small"].nunique() == 10
    with pytest.raises(ExperimentConfigError, match="'missing'"):
        hold_constant(train, "missing")


def test_parts_of_keras_models_are_taken_out():
    import keras

    def build(units):
        layers = [keras.layers.Dense(units, name="dense_1"), keras.layers.Dropout(0.5, name="drop_1")]
        more = [keras.layers.Dropout(0.5, name="drop_2"), keras.layers.Dense(1, name="out")]
        return keras.Sequential([keras.Input((3,)), *layers, *more])

    assert [layer.name for layer in without_part(build, "dense_1")(4).layers] == ["drop_1", "drop_2", "out"]
    without_drops = without_part(build, "drop*")(units=4)
    assert [layer.name for layer in without_drops.layers] == ["dense_1", "out"]
    assert without_drops(np.zeros((2, 3))).shape == (2, 1)
    with pytest.raises(ExperimentConfigError, match=r"'dense_9'.*dense_1, drop_1"):
        without_part(build, "dense_9")(4)


def test_maggys_study_is_understood():
    study = AblationStudy("view", 1, "y")
    study.features.include("large", "small")
    study.model.layers.include("hidden")
    study.model.layers.include_groups(prefix="drop")
    study.model.set_base_model_generator(dict)
    config = AblationConfig.from_study(study, seeds=[1, 2])
    assert (config.features, config.model_parts, config.model) == (["large", "small"], ["hidden", "drop*"], dict)


def test_features_of_a_feature_view():
    class Feature:
        def __init__(self, name, label):
            self.name, self.label = name, label

    class View:
        features = (Feature("ndvi", False), Feature("rain", False), Feature("target", True))

    assert AblationConfig(feature_view=View()).features == ["ndvi", "rain"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"features": []}, "nothing to leave out"),
        ({"features": ["a", "a"]}, "twice"),
        ({"features": ["a"], "seeds": [1]}, "two different"),
        ({"features": ["a"], "seeds": [1, 1]}, "two different"),
        ({"features": ["a"], "confidence": 95}, "confidence=95"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(ExperimentConfigError, match=match):
        AblationConfig(**options)
