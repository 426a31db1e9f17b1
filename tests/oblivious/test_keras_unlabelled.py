"""Learning without labels, and with few, in Keras: losses against their definitions, views, masks, errors.

That every mode equals a single process, on TensorFlow and on JAX, is for :mod:`test_table`.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maggy import Searchspace
from maggy.experiment import experiment

from deepcube.oblivious import ExperimentConfigError, SearchConfig, SingleRunConfig, TrainResultError, keras_networks
from deepcube.oblivious import keras_selfsupervised as without
from deepcube.oblivious import keras_semisupervised as few

CONTRASTIVE = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "temperature": 0.5}
FEW = {"epochs": 3, "batch_size": 8, "unlabelled_batch_size": 16, "learning_rate": 3e-3, "weight": 0.5}


def patches(rows=24, size=16):
    return np.random.default_rng(0).normal(size=(rows, size, size, 1)).astype("float32")


def labelled(rows, seed):
    classes = np.arange(rows) % 2
    noise = np.random.default_rng(seed).normal(size=(rows, 16, 16, 1))
    return (noise + 2.0 * classes[:, None, None, None]).astype("float32"), classes


def number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 6), seed=st.integers(0, 1000), temperature=st.floats(0.1, 2.0))
def test_the_contrastive_loss_is_its_formula(rows, seed, temperature):
    z = np.random.default_rng(seed).normal(size=(2 * rows, 5)).astype("float32")
    unit = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype("float64")
    similarity = np.exp(unit @ unit.T / temperature)
    losses = []
    for i in range(2 * rows):
        others = sum(similarity[i, k] for k in range(2 * rows) if k != i)
        losses.append(-np.log(similarity[i, (i + rows) % (2 * rows)] / others))
    assert number(without.contrastive_loss(z[:rows], z[rows:], temperature)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_only_masked_pixels_count_and_every_row_has_as_many():
    x = patches(6)
    mask = without.block_mask(x, 4, 0.25, np.random.default_rng(1))
    assert mask.shape == (6, 16, 16, 1)
    assert set(mask.sum((1, 2, 3)).tolist()) == {64.0}
    assert number(without.masked_loss(x, np.where(mask > 0, x, x + 9), mask)) == 0.0
    assert number(without.masked_loss(x, x + 2, mask)) == pytest.approx(4.0, rel=1e-5)


def test_a_view_holds_the_pixels_of_its_own_patch_with_gain_only():
    """Turned, flipped and shifted pixels are the same ones: sorted, they differ by the gain alone."""
    x = patches(40)
    view = without.random_view(x, np.random.default_rng(2), noise=0.0)
    gain = np.sort(view.reshape(40, -1)) / np.sort(x.reshape(40, -1))
    assert np.ptp(gain, axis=1).max() < 1e-4
    assert gain.min() >= 0.9
    assert gain.max() <= 1.1
    same = without.random_view(np.repeat(x[:1], 40, 0), np.random.default_rng(3), noise=0.0)
    assert len(set(same.reshape(40, -1).argmax(1).tolist())) > 20
    noisy = without.random_view(x, np.random.default_rng(2), noise=0.3)
    assert np.std(noisy - view) == pytest.approx(0.3, rel=0.05)


def test_every_round_of_batches_has_each_row_once_in_a_new_order():
    order = without.batches_of(11, 4, np.random.default_rng(0))
    first, second = ([next(order), next(order)] for _ in range(2))
    assert [len(set(np.concatenate(each).tolist())) for each in (first, second)] == [8, 8]
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()


def test_a_pseudo_label_counts_only_where_it_is_sure():
    weak = np.array([[9.0, 0.0], [0.1, 0.0]], "float32")
    strong = np.array([[0.0, 0.0], [5.0, -5.0]], "float32")
    assert number(few.pseudo_label_loss(weak, strong, 0.95)) == pytest.approx(np.log(2) / 2)


def test_a_teacher_is_the_moving_average_of_its_student():
    teacher, student = keras_networks.classifier(), keras_networks.classifier()
    before, new = teacher.get_weights(), student.get_weights()
    few.follow(teacher, student, 0.9)
    for kept, old, other in zip(teacher.get_weights(), before, new, strict=True):
        np.testing.assert_allclose(kept, 0.9 * old + 0.1 * other, rtol=1e-5, atol=1e-6)


def test_pre_training_is_searched_and_leaves_an_encoder_that_can_be_loaded(tmp_path):
    config = SearchConfig(
        Searchspace(temperature=("DISCRETE", [0.2, 1.0])), 2, "grid", model=keras_networks.contrastive,
        dataset=patches(), hparams={**CONTRASTIVE, "epochs": 1}, optimization_key="loss", direction="min",
        directory=str(tmp_path), figures=False, workers=1,
    )  # fmt: skip
    found = experiment.lagom(without.contrastive_train_fn, config)["result"]
    assert len({trial["metric"] for trial in found["trials"]}) == 2
    (weights, _) = sorted(tmp_path.rglob(without.WEIGHTS_FILE))
    encoder = keras_networks.encoder()
    fresh = encoder.get_weights()[0]
    encoder.load_weights(weights)
    assert not np.allclose(encoder.get_weights()[0], fresh)


@pytest.mark.parametrize(
    ("train_fn", "options"),
    [(few.consistency_train_fn, {"threshold": 0.6}), (few.mean_teacher_train_fn, {"decay": 0.9})],
)
def test_few_labels_teach_a_classifier(tmp_path, train_fn, options):
    dataset = (labelled(16, 1), labelled(48, 2)[0], labelled(40, 3))
    config = SingleRunConfig(
        keras_networks.classifier, dataset, {**FEW, "epochs": 5, **options}, optimization_key="accuracy",
        directory=tmp_path, seed=3,
    )  # fmt: skip
    assert experiment.lagom(train_fn, config)["metric"] > 0.8


class TestBadInput:
    @pytest.mark.parametrize(
        ("train_fn", "model", "dataset", "hparams", "match"),
        [
            (without.contrastive_train_fn, "contrastive", patches(4), CONTRASTIVE, "4 patches for batches of 8"),
            (
                without.masked_train_fn,
                "restoring",
                patches(),
                {**CONTRASTIVE, "block": 5, "share": 0.5},
                "16 x 16 pixels and block=5",
            ),
            (
                few.consistency_train_fn,
                "classifier",
                (labelled(16, 1), patches(), labelled(8, 1)),
                {**FEW, "threshold": 0.9, "unlabelled_batch_size": 12},
                "unlabelled_batch_size=12 and batch_size=8",
            ),
            (
                few.mean_teacher_train_fn,
                "classifier",
                (labelled(16, 1), patches(8), labelled(8, 1)),
                {**FEW, "decay": 0.9},
                "16 labelled and 8 unlabelled",
            ),
        ],
    )
    def test_data_that_do_not_fit(self, tmp_path, train_fn, model, dataset, hparams, match):
        config = SingleRunConfig(
            getattr(keras_networks, model), dataset, hparams, optimization_key="loss", directory=tmp_path
        )
        with pytest.raises((ExperimentConfigError, TrainResultError), match=match):
            experiment.lagom(train_fn, config)

    def test_patches_that_cannot_be_turned(self):
        with pytest.raises(ExperimentConfigError, match="16 x 8 pixels"):
            without.random_view(patches()[:, :, :8], np.random.default_rng(0))
