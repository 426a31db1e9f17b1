"""The contract of training functions: what they may ask for and what they must return."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.oblivious import ObliviousError, TrainFunctionError, TrainResultError
from deepcube.oblivious.calling import call_train_fn, check_train_fn, read_result, source_hash

OFFERED = {"hparams": {"a": 1}, "reporter": "r", "dataset": "d"}


def test_only_the_named_arguments_are_passed():
    def train_fn(reporter, hparams, extra="default"):
        return reporter, hparams, extra

    check_train_fn(train_fn, OFFERED)
    assert call_train_fn(train_fn, OFFERED) == ("r", {"a": 1}, "default")


def test_keyword_catch_all_receives_everything():
    assert call_train_fn(lambda **everything: everything, OFFERED) == OFFERED


@pytest.mark.parametrize(
    ("train_fn", "said"),
    [(lambda hparams, epochs: 0, "epochs"), (lambda hparams, /: 0, "hparams"), ("train", "str")],
    ids=["unknown argument", "positional only", "not callable"],
)
def test_unusable_functions_are_refused_by_name(train_fn, said):
    with pytest.raises(TrainFunctionError, match=said):
        check_train_fn(train_fn, OFFERED)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_metric_is_read_back(metric, other):
    result = read_result({"loss": np.float64(metric), "other": other, "note": "text"}, "loss")
    assert result.metric == metric
    assert result.metrics == {"loss": metric, "other": other}
    assert read_result(metric, "loss").metrics == {"loss": metric}


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "NoneType"),
        (math.nan, "nan"),
        ({"loss": math.inf}, "inf"),
        ({"accuracy": 1.0}, r"\['accuracy'\].*'loss'"),
        ("good", "str"),
        ({"loss": [1.0]}, "list"),
    ],
)
def test_bad_results_say_what_was_found(returned, said):
    with pytest.raises(TrainResultError, match=said):
        read_result(returned, "loss")


def test_source_hash_tells_functions_apart():
    def one(hparams):
        return 1

    def two(hparams):
        return 2

    assert source_hash(one) == source_hash(one) != source_hash(two)
    assert source_hash(print) is None


def test_one_root_for_all_errors():
    from deepcube.oblivious import errors

    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(cls, ObliviousError) for cls in classes)
