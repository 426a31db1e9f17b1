"""The card that is registered with a drought model."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from deepcube.explain import CARD_HTML, CARD_JSON, CARD_MARKDOWN, SCORES
from deepcube.oblivious import Signature, save_artifact
from features import drought
from training_pipelines.drought.card import LIMITS, NO_BETTER, add_card
from training_pipelines.drought.data import Samples, TrainingData
from training_pipelines.drought.evaluation import evaluate
from training_pipelines.drought.model import build_model, predict


@dataclass(frozen=True)
class Split:
    """Dates as a time split writes them."""

    def isoformat(self) -> dict[str, str]:
        return {"train_start": "2000-01-01", "test_start": "2010-01-01"}


@pytest.mark.parametrize("simulated", [False, True])
def test_a_card_beside_the_model_says_what_it_is_and_how_good(tmp_path, simulated):
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 1, (60, len(drought.FEATURE_NAMES))).astype("float32")
    model = build_model(inputs, units=4, l2=0.0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) if w.ndim == 2 else w for w in model.get_weights()])
    forecast = predict(model, inputs)
    targets = forecast + rng.normal(0, 0.01, forecast.shape).astype("float32")
    targets[::3, 1] = np.nan
    samples = Samples(inputs, targets)
    data = TrainingData(samples, samples, samples, Split(), 3)  # type: ignore[arg-type]
    scores = evaluate(samples, forecast, [forecast])
    if simulated:  # as if both baselines were as good
        scores = replace(scores, baselines=dict.fromkeys(scores.baselines, scores.model))
    signature = Signature(
        inputs=drought.FEATURE_NAMES,
        outputs=drought.LABELS,
        input_units=dict.fromkeys(drought.FEATURE_NAMES, "1"),
        output_units="1",
        feature_view="drought_here",
        feature_view_version=1,
        training_dataset_version=3,
        details={"cube": "here", "simulated": simulated, "hparams": {"units": 4}, "seeds": [0], "mlflow_run_id": "abc"},
    )
    folder = add_card(save_artifact(tmp_path / "model", model, signature), model, data, scores)
    names = {file.name for file in folder.iterdir()}
    assert {CARD_JSON, CARD_MARKDOWN, CARD_HTML, "global_importance.png", "global_effects.png", "model.keras"} <= names
    card = json.loads((folder / CARD_JSON).read_text())
    rows = {(row[0], row[1]): row for row in card["metrics"]["rows"]}
    assert rows["model", "overall"][2] == scores.model["overall"]["rmse"]
    assert {name for name, _ in rows} == {"model", "persistence", "climatology"}
    assert "+-" in rows["model", "overall"][5]
    assert {row[0] for row in card["explanation_quality"]["rows"]} == set(SCORES)
    assert card["limits"] == ([NO_BETTER] if simulated else []) + LIMITS
    assert card["data"]["simulated"].startswith("yes" if simulated else "no")
    assert ("(simulated)" in card["purpose"]) == simulated
    assert card["split"]["test_start"] == "2010-01-01"
    drivers = [row[0] for row in card["explanations"]["rows"]]
    assert set(drivers) <= set(drought.FEATURE_NAMES)
    assert len(drivers) == 10
