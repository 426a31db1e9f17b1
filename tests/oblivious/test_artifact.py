"""A model on disk and what it accepts."""

import json
import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.oblivious import MODEL_FILE, InstanceError, ObliviousError, Signature, load_artifact, save_artifact

SIGNATURE = Signature(
    inputs=["rain", "heat"],
    outputs=["y"],
    input_units={"rain": "mm", "heat": "K"},
    output_units="1",
    feature_view="view",
    feature_view_version=2,
    training_dataset_version=3,
    details={"cube": "sample"},
)


def network(inputs: int = 2) -> keras.Model:
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(1)])


def test_what_is_saved_is_loaded(tmp_path):
    original = network()
    loaded, signature = load_artifact(save_artifact(tmp_path / "new", original, SIGNATURE))
    x = np.array([[1.0, -2.0]], dtype="float32")
    assert np.array_equal(loaded(x), original(x))
    assert signature == SIGNATURE


def test_a_folder_that_is_no_artifact_is_named(tmp_path):
    with pytest.raises(ObliviousError, match=r"signature\.json"):
        load_artifact(tmp_path)
    save_artifact(tmp_path, network(), SIGNATURE)
    (tmp_path / MODEL_FILE).unlink()
    with pytest.raises(ObliviousError, match=r"model\.keras"):
        load_artifact(tmp_path)


def test_a_network_that_does_not_fit_its_signature_is_refused(tmp_path):
    with pytest.raises(ObliviousError, match=r"3 inputs.*expected 2"):
        load_artifact(save_artifact(tmp_path, network(3), SIGNATURE))


def test_a_damaged_signature_is_refused(tmp_path):
    save_artifact(tmp_path, network(), SIGNATURE)
    (tmp_path / "signature.json").write_text(json.dumps({"inputs": []}))
    with pytest.raises(ObliviousError, match="outputs"):
        load_artifact(tmp_path)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_instances_by_name_and_in_order_are_the_same(rows):
    by_name = SIGNATURE.table([{"heat": heat, "rain": rain} for rain, heat in rows])
    assert by_name.equals(SIGNATURE.table([list(row) for row in rows]))
    assert by_name.columns.tolist() == ["rain", "heat"]
    assert by_name.to_numpy().tolist() == [[float(value) for value in row] for row in rows]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([], "no instance"),
        ({"rain": 1}, "dict; expected a list"),
        ("rain", "str; expected a list"),
        ([{"rain": 1}], "instance 0: missing heat, unknown nothing"),
        ([[1, 2], {"rain": 1, "heat": 2, "snow": 3}], "instance 1: missing nothing, unknown snow"),
        ([[1]], "found 1 values.*2 in all"),
        ([[1, "2"]], "'2' for heat"),
        ([[1, True]], "True for heat"),
        ([[1, None]], "None for heat"),
        ([{"rain": math.nan, "heat": 1}], "nan for rain"),
        ([[math.inf, 1]], "inf for rain"),
        ([5], "found a int"),
        (["ab"], "found a str"),
    ],
)
def test_instances_that_do_not_fit_are_named(instances, said):
    with pytest.raises(InstanceError, match=said):
        SIGNATURE.table(instances)
