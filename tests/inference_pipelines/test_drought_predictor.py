"""The deployed script, called as a model server calls it."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepcube.explain import SCORES
from features import drought
from inference_pipelines.drought.forecaster import METHODS, Forecaster
from inference_pipelines.drought.predictor import Predict
from inference_pipelines.endpoint import OnlineFeatures

VALUES = [round(0.02 * position, 2) for position in range(len(drought.FEATURE_NAMES))]
BY_NAME = dict(zip(drought.FEATURE_NAMES, VALUES, strict=True))


@pytest.fixture(scope="module")
def predict(model_folder) -> Predict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_FILES_PATH", str(model_folder))
        return Predict()


def test_by_name_and_in_order_give_the_same_forecast(predict, model_folder):
    shuffled = dict(sorted(BY_NAME.items()))
    first, second, third = predict.predict([BY_NAME, VALUES, shuffled])
    assert first == second == third
    expected = Forecaster.load(model_folder).forecast(pd.DataFrame([BY_NAME])).iloc[0].to_dict()
    assert first == pytest.approx(expected)
    assert list(first) == drought.LABELS


@pytest.mark.parametrize("way", ["beside", "inside"])
def test_an_explanation_beside_the_prediction(predict, way):
    answer = (
        predict.predict([VALUES], explain=True) if way == "beside" else predict.predict([BY_NAME | {"explain": True}])
    )
    (explained,) = json.loads(json.dumps(answer))
    (plain,) = predict.predict([VALUES])
    assert explained["prediction"] == pytest.approx(plain)
    assert explained["inputs"] == pytest.approx(BY_NAME)
    explanation = explained["explanation"]
    assert explanation["method"] == "integrated_gradients"
    for label in drought.LABELS:
        attributions = explanation["attributions"][label]
        assert list(attributions) == drought.FEATURE_NAMES
        total = sum(attributions.values()) - (plain[label] - explanation["base_value"][label])
        assert total == pytest.approx(explanation["completeness_error"][label], abs=1e-6)
        assert abs(explanation["completeness_error"][label]) < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_ones_choice_with_scores_within_a_budget(predict, method):
    options = {"method": method, "scores": True, "budget_seconds": 60}
    answer = predict.predict([VALUES, BY_NAME | {"explain": False}], explain=options)[0]
    explanation = json.loads(json.dumps(answer, allow_nan=False))["explanation"]
    assert explanation["method"] == method
    left_out = {line.split()[1] for line in explanation["degraded"] if line.endswith("left out")}  # on a busy machine
    assert set(explanation["scores"]) | left_out == set(SCORES)
    for label in drought.LABELS:
        assert abs(explanation["scores"]["completeness_error"][label]) < 0.1
        assert "agreement" in left_out or explanation["scores"]["agreement"][label] > 0.5
    assert explanation["seconds"] < 60


def test_only_the_instances_that_ask_are_explained(predict):
    answers = predict.predict([VALUES, BY_NAME | {"explain": True}, BY_NAME | {"explain": False}])
    assert ["explanation" in answer for answer in answers] == [False, True, False]
    assert answers[1]["prediction"] == pytest.approx(answers[0])


@pytest.mark.parametrize(
    ("instances", "options", "said"),
    [
        ([], {}, "no instance"),
        ({"a": 1}, {}, "dict; expected a list"),
        ([VALUES[:-1]], {}, f"found {len(VALUES) - 1} values"),
        ([{**BY_NAME, "snow": 1}], {}, "unknown snow"),
        ([{k: v for k, v in BY_NAME.items() if k != "season_sin"}], {}, "missing season_sin"),
        ([[*VALUES[:-1], None]], {}, "None for steps_since_observation"),
        ([VALUES], {"explain": "yes"}, "the request: found explain='yes'"),
        ([BY_NAME | {"explain": 1}], {}, "instance 0: found explain=1"),
        ([VALUES], {"explain": {"method": "tree_shap"}}, "method 'tree_shap'; this model is explained by integrated_g"),
        ([VALUES], {"explain": {"scores": ["beauty"]}}, "unknown score beauty"),
        ([BY_NAME | {"explain": {"budget_seconds": -1}}], {}, "instance 0: found budget_seconds=-1"),
        ([[float("nan")] * len(VALUES)], {"explain": True}, "nan for ndvi_anomaly_lag_0; expected a finite number"),
        ([VALUES, {**BY_NAME, "ndvi_last_observed": 5}], {}, "Found 5 at instance 1, feature ndvi_last_observed"),
        ([{**BY_NAME, "gap_lag_2": -1}], {"explain": True}, "gap_lag_2.*expected 0 to 1"),
        ([dict.fromkeys(BY_NAME)], {}, "None for ndvi_anomaly_lag_0"),
        ([{"cube": "sample"}], {}, "instance 0: found.*cell_id"),
        ([VALUES, {"cube": "sample", "cell_id": "7"}], {}, "instance 1: found"),
        ([{"cube": "other", "cell_id": 7}], {}, "cube 'other'; this model is for 'sample'"),
    ],
)
def test_a_bad_instance_is_a_value_error_that_names_it(predict, instances, options, said):
    with pytest.raises(ValueError, match=said):
        predict.predict(instances, **options)


class View:
    """Answers like a feature view with online features of one cell."""

    def get_feature_vector(self, entry: dict[str, Any], return_type: str, allow_missing: bool) -> pd.DataFrame:
        assert (return_type, allow_missing) == ("pandas", True)
        row = {"cube": entry["cube"], **BY_NAME} if entry["cell_id"] == 7 else dict.fromkeys(BY_NAME, np.nan)
        return pd.DataFrame([row])


def test_a_cell_is_looked_up_in_the_online_store(predict, monkeypatch):
    monkeypatch.setattr(OnlineFeatures, "_ready", lambda self: View())
    keyed, given = predict.predict([{"cube": "sample", "cell_id": 7}, BY_NAME])
    assert keyed == given
    with pytest.raises(ValueError, match="no features of cell 8"):
        predict.predict([{"cube": "sample", "cell_id": 8}])
