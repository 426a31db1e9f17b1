"""alibi 0.9.4 on the installed NumPy, without spaCy, and with shap's current arrays."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from deepcube.explain import load_alibi

X = np.random.default_rng(0).normal(size=(120, 4))
CLASSES = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


@pytest.fixture(scope="module")
def explainers():
    load_alibi()
    import alibi.explainers

    return alibi.explainers


def test_imports_in_a_fresh_process_and_only_once():
    script = "from deepcube.explain import load_alibi; a = load_alibi(); print(a.__version__, load_alibi() is a)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.9.4", "True"]


def test_text_explainers_say_what_they_lack(explainers):
    import spacy

    if getattr(spacy, "__file__", None):
        pytest.skip("spaCy is installed here")
    with pytest.raises(ImportError, match="spaCy"):
        spacy.cli.download("en")


def test_quantiles_work_on_numpy_2(explainers):
    from alibi.explainers import ale

    assert ale.get_quantiles(np.arange(11.0), num_quantiles=3).tolist() == [0.0, 5.0, 10.0]


def test_an_explanation_becomes_json(explainers):
    ale = explainers.ALE(lambda x: x @ np.array([1.0, 2.0, 0.0, 0.0]), feature_names=list("abcd"), target_names=["y"])
    text = json.loads(ale.explain(X).to_json())
    slope = np.polyfit(text["data"]["feature_values"][1], np.ravel(text["data"]["ale_values"][1]), 1)[0]
    assert slope == pytest.approx(2.0)


def test_tree_shap_of_a_classifier_is_additive(explainers):
    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, CLASSES)
    explainer = explainers.TreeShap(forest, model_output="raw")
    explainer.fit()
    explanation = explainer.explain(X[:10])
    assert len(explanation.shap_values) == 3
    total = np.stack([v.sum(axis=1) for v in explanation.shap_values], axis=1) + explanation.expected_value
    assert np.allclose(total, forest.predict_proba(X[:10]), atol=1e-9)


def test_kernel_shap_of_a_classifier_is_additive(explainers):
    model = LogisticRegression().fit(X, CLASSES)
    explainer = explainers.KernelShap(model.predict_proba)
    explainer.fit(X[:20])
    explanation = explainer.explain(X[20:23], silent=True)
    total = np.stack([v.sum(axis=1) for v in explanation.shap_values], axis=1) + explanation.expected_value
    assert np.allclose(total, model.predict_proba(X[20:23]), atol=1e-6)


def test_shap_itself_is_left_as_it_is(explainers):
    import shap

    forest = RandomForestClassifier(n_estimators=2, max_depth=2, random_state=0).fit(X, CLASSES)
    assert np.shape(shap.TreeExplainer(forest).shap_values(X[:5])) == (5, 4, 3)


@pytest.mark.slow
def test_counterfactuals_by_reinforcement_learning_run_on_this_keras(explainers):
    import keras

    encoder, decoder = (keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]) for _ in range(2))
    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, X[:, 0] > 0)
    explainer = explainers.CounterfactualRL(
        forest.predict_proba, encoder, decoder, 0.5, 0.5, latent_dim=4, train_steps=10, batch_size=32,
        backend="tensorflow",
    )  # fmt: skip
    explainer.fit(X.astype("float32"))
    assert explainer.explain(X[:1].astype("float32"), Y_t=np.array([1])).data["cf"]["X"].shape == (1, 4)
