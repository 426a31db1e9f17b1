"""Model cards: complete or refused, the same in every form, safe to open."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from deepcube.explain import (
    CARD_HTML,
    CARD_JSON,
    CARD_MARKDOWN,
    CardError,
    CardTable,
    InputError,
    ModelCard,
    ale,
    draw_effects,
    draw_importance,
    explain,
    importance_table,
    mean_attributions,
    permutation_importance,
    quality_table,
)


def card(**changes) -> ModelCard:
    parts = {
        "name": "drought_<b>",
        "purpose": "NDVI & more",
        "data": {"simulated": "yes"},
        "split": {"test": "2020"},
        "metrics": CardTable(("forecast", "RMSE"), [("model", 0.0858), ("climatology | last", np.float32(0.0882))]),
        "explanations": CardTable(("feature", "size"), [("lag 0", 0.1)]),
        "explanation_quality": CardTable(("score", "median"), [("infidelity", float("nan"))]),
        "limits": ["one cube"],
        **changes,
    }
    return ModelCard(**parts)


def test_a_card_says_the_same_in_every_form(tmp_path):
    picture = tmp_path / "made" / "bars.png"
    picture.parent.mkdir()
    Figure().savefig(picture)
    folder = tmp_path / "model"
    folder.mkdir()
    details = {"seeds": [0, 1], "alarms": {"high": {"recall": 0.9}}, "trials": [{"units": 16}]}
    files = card(figures={"what drives it": picture}, details=details).write(folder)
    assert sorted(file.name for file in files) == sorted([CARD_JSON, CARD_MARKDOWN, CARD_HTML, "bars.png"])
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in files), "nothing half-written"
    plain = json.loads((folder / CARD_JSON).read_text())
    assert plain["metrics"]["rows"][0] == ["model", 0.0858]
    assert plain["explanation_quality"]["rows"] == [["infidelity", None]]
    assert plain["figures"] == {"what drives it": "bars.png"}
    text, page = (folder / CARD_MARKDOWN).read_text(), (folder / CARD_HTML).read_text()
    assert "![what drives it](bars.png)" in text
    assert "climatology \\| last" in text
    for said in ("0.0858", "not defined", "one cube", "2020", "0, 1", "high: (recall 0.9)", "(units 16)"):
        assert said in text and said in page
    assert "drought_&lt;b&gt;" in page and "<b>" not in page
    assert "data:image/png;base64," in page and "http" not in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": []}, "limits"),
        ({"metrics": CardTable(("a",), [])}, "metrics"),
        ({"data": {"source": "sample"}}, "simulated"),
        ({"metrics": CardTable(("a", "b"), [("one",)])}, "another length"),
    ],
)
def test_a_card_that_lacks_something_is_refused_and_nothing_written(tmp_path, changes, said):
    with pytest.raises(CardError, match=said):
        card(**changes).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CardError, match=r"gone\.png"):
        card(figures={"gone": tmp_path / "gone.png"}).write(tmp_path)


def test_global_explanations_as_tables_and_figures(tmp_path):
    rng = np.random.default_rng(0)
    x = xr.DataArray(rng.normal(size=(30, 3)), dims=("instance", "feature"), coords={"feature": ["a", "b", "c"]})
    model = lambda rows: rows @ np.array([0.5, -3.0, 0.0])  # noqa: E731
    explained = explain(model, x, "kernel_shap", background=x, scores=["infidelity", "complexity"])
    summary = mean_attributions(explained)
    centred = x - x.mean("instance")
    assert np.allclose(summary["size"].sel(feature="b"), (3 * abs(centred.sel(feature="b"))).mean())
    assert np.allclose(summary["mean"], 0, atol=1e-9)
    importance = permutation_importance(model, x, truth=model(x.values), repeats=3)
    table = importance_table(summary, importance, count=2)
    assert [row[0] for row in table.rows] == ["b", "a"]
    with pytest.raises(InputError, match="other features"):
        importance_table(summary, importance.isel(feature=[1, 0, 2]))
    assert [row[0] for row in quality_table(explained).rows] == ["completeness_error", "infidelity", "complexity"]
    for path in (
        draw_importance(table, tmp_path / "importance.png", title="simulated"),
        draw_effects(ale(model, x), tmp_path / "effects.png", title="simulated"),
    ):
        assert path.read_bytes()[:4] == b"\x89PNG"
