"""The endpoint: answers for images and tables, explanations that add up, and clear refusals."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_pipelines.volcano.predictor import Predict


@pytest.fixture(scope="module")
def predictor(artifact: Path) -> Predict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_FILES_PATH", str(artifact))
        return Predict()


def test_an_image_and_its_phase_are_answered_alike(
    predictor: Predict, phases: list[np.ndarray], tmp_path: Path, write_phase: Any
) -> None:
    image = write_phase(tmp_path / "a.png", phases[1]).read_bytes()
    levels = (np.rint((phases[1] / np.pi + 1) / 2 * 255) / 255 * 2 - 1) * np.pi
    by_image, by_phase = predictor.predict(
        [{"image": base64.b64encode(image).decode()}, {"phase": levels.clip(-np.pi, np.pi).tolist()}]
    )
    assert by_image["probability"] == pytest.approx(by_phase["probability"], abs=1e-5)
    assert by_image["alert"] == (by_image["probability"] >= by_image["threshold"])
    assert sum(by_image["kinds"].values()) == pytest.approx(1, abs=1e-5)
    assert by_image["kind"] == max(by_image["kinds"], key=by_image["kinds"].get)
    json.dumps([by_image, by_phase], allow_nan=False)


def test_an_explanation_adds_up_and_says_where(predictor: Predict, phases: list[np.ndarray]) -> None:
    wanted = {"scores": ["completeness_error", "complexity"], "budget_seconds": 60}
    (answer,) = predictor.predict([{"phase": phases[2].tolist(), "explain": wanted}])
    explanation = answer["explanation"]
    parts = explanation["attributions"]["deformation"]
    assert len(parts) == 36
    total = explanation["base_value"]["deformation"] + sum(parts.values())
    error = explanation["completeness_error"]["deformation"]
    assert total - answer["probability"] == pytest.approx(error, abs=1e-4)
    assert set(explanation["scores"]) == {"completeness_error", "complexity"}
    assert np.shape(answer["where"]["support"]) == np.shape(answer["where"]["mask"]) == (18, 18)
    json.dumps(answer, allow_nan=False)


SMALL = [[0.0] * 10] * 10


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([], "at least one"),
        ("x", "list"),
        ([3], "object with an image"),
        ([{}], "nothing"),
        ([{"picture": ""}], "picture"),
        ([{"phase": SMALL}], "216 x 216"),
        ([{"phase": [["a"]]}], "no table of numbers"),
        ([{"phase": [[None] * 216] * 216}], "0%"),
        ([{"phase": [[1.0, 99.0] * 108] * 216}], "wrapped phase in radians"),
        ([{"image": "!!"}], "not Base64"),
        ([{"image": base64.b64encode(b"GIF89a").decode()}], "neither PNG nor TIFF"),
        ([{"image": base64.b64encode(b"\x89PNG\r\n\x1a\nxx").decode()}], "cannot be read"),
        ([{"phase": SMALL, "explain": {"method": "tarot"}}], "tarot"),
        ([{"phase": SMALL, "explain": {"method": "tree_shap"}}], "this model is explained by integrated_gradients"),
        ([{"phase": SMALL, "explain": {"scores": ["beauty"]}}], "unknown score beauty"),
        ([{"phase": SMALL, "explain": {"budget_seconds": 0}}], "budget_seconds=0"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(predictor: Predict, instances: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        predictor.predict(instances)
