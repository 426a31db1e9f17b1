"""Unwrapping, numbers of a shape that no symmetry changes, and types of simulated sources told by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import volcano
from training_pipelines.volcano import scenes
from training_pipelines.volcano.kinds import shapes_of, train_kinds

SIDE = volcano.SIDE


def hill(row: float, column: float, width: float, height: float) -> np.ndarray:
    """Return a smooth surface in radians."""
    rows, columns = np.indices((SIDE, SIDE))
    return height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))


def seen(phase: np.ndarray, length: np.ndarray | float = 1.0) -> np.ndarray:
    return (np.stack([np.cos(phase), np.sin(phase)], axis=-1) * np.asarray(length)[..., None]).astype(np.float32)


@given(st.floats(20, 50), st.floats(20, 50), st.floats(8, 16), st.floats(-12, 12))
@settings(max_examples=20, deadline=None)
def test_a_smooth_surface_is_unwrapped_exactly(row: float, column: float, width: float, height: float) -> None:
    phase = hill(row, column, width, height)
    found = volcano.unwrap(seen(phase))
    assert np.allclose(found - found.mean(), phase - phase.mean(), atol=1e-3)


def test_what_is_not_coherent_does_not_disturb_the_rest() -> None:
    phase, length = hill(30, 30, 12, 10.0), np.ones((SIDE, SIDE))
    noisy = phase.copy()
    noisy[50:, 50:] = np.random.default_rng(0).uniform(-np.pi, np.pi, (SIDE - 50, SIDE - 50))
    length[50:, 50:] = 0.05
    found = volcano.unwrap(seen(noisy, length))[:48, :48]
    rest = found - phase[:48, :48]
    assert np.abs(rest - rest.mean()).max() < 0.2


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_no_symmetry_changes_the_numbers_of_a_shape(seed: int) -> None:
    generator = np.random.default_rng(seed)
    row, column, low_row, low_column = generator.uniform(15, 57, 4)
    phase = hill(row, column, generator.uniform(6, 12), generator.uniform(3, 12)) + hill(low_row, low_column, 8, -2.0)
    patch = seen(phase, generator.uniform(0.6, 1, phase.shape))
    (view,) = scenes.random_views(patch[None], generator)
    assert np.allclose(volcano.shape_statistics(patch), volcano.shape_statistics(view), rtol=1e-3, atol=2e-2)


def test_the_numbers_say_what_their_names_say() -> None:
    numbers = dict(zip(volcano.SHAPE, volcano.shape_statistics(seen(hill(36, 36, 6, 12.0))), strict=True))
    assert numbers["log_height"] == pytest.approx(np.log(12), abs=0.15)
    assert numbers["log_elongation_0.5"] == pytest.approx(0, abs=0.02)
    assert numbers["log_area_0.5"] == pytest.approx(np.log(2 * np.pi * np.log(2) * 36), abs=0.15)
    rows, columns = np.indices((SIDE, SIDE))
    ridge = 12 * np.exp(-((rows - 36) ** 2) / 50 - (columns - 36) ** 2 / 300)
    long = dict(zip(volcano.SHAPE, volcano.shape_statistics(seen(ridge)), strict=True))
    assert long["log_elongation_0.5"] > 0.6


def test_a_patch_of_noise_has_numbers_too() -> None:
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (SIDE, SIDE))
    for patch in (seen(noise, 0.3), np.zeros((SIDE, SIDE, 2), np.float32), seen(np.zeros((SIDE, SIDE)))):
        assert np.isfinite(volcano.shape_statistics(patch)).all()


@pytest.mark.slow
def test_types_of_simulated_sources_are_told_better_than_by_chance() -> None:
    network = train_kinds(scenes.make_bank(300, 1), None, 0.0, scenes=800)
    batch = scenes.make_batch(300, scenes.make_bank(120, 2), np.random.default_rng(0), moving=1.0)
    moves = batch.deformation[:, 0] == 1
    truth = batch.kind[moves, 0].astype(int)
    told = np.asarray(network(shapes_of(batch.seen[moves])))
    assert np.allclose(told.sum(axis=1), 1, atol=1e-5)
    assert (told.argmax(axis=1) == truth).mean() > np.bincount(truth).max() / len(truth) + 0.12
