"""Mogi's and Okada's sources against published values, each other and elastic theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes.simulate.okada import mogi, okada, rectangle

# Okada (1985), table 2: x, y, depth, dip, kind, displacement; length 3, width 2, unit dislocation, Poisson solid.
TABLE_2 = [
    (2, 3, 4, 70, "strike_slip", (-8.689e-3, -4.298e-3, -2.747e-3)),
    (2, 3, 4, 70, "dip_slip", (-4.682e-3, -3.527e-2, -3.564e-2)),
    (2, 3, 4, 70, "opening", (-2.660e-4, 1.056e-2, 3.214e-3)),
    (0, 0, 4, 90, "strike_slip", (0.0, 5.253e-3, 0.0)),
    (0, 0, 4, 90, "dip_slip", (0.0, 0.0, 0.0)),
    (0, 0, 4, 90, "opening", (1.223e-2, 0.0, -1.606e-2)),
    (0, 0, 4, -90, "strike_slip", (0.0, -1.303e-3, 0.0)),
    (0, 0, 4, -90, "dip_slip", (0.0, 0.0, 0.0)),
    (0, 0, 4, -90, "opening", (3.507e-3, 0.0, -7.740e-3)),
]


@pytest.mark.parametrize(("x", "y", "depth", "dip", "kind", "expected"), TABLE_2)
def test_okadas_table_2(x, y, depth, dip, kind, expected):
    found = okada(x, y, depth=depth, dip=dip, length=3, width=2, **{kind: 1.0})
    for value, printed in zip(found, expected, strict=True):
        half_a_digit = 0.5 * 10 ** (np.floor(np.log10(abs(printed))) - 3) if printed else 1e-9
        assert abs(float(value) - printed) <= half_a_digit * 1.001


def test_mogi_uplifts_most_above_the_source():
    east = np.linspace(-2e4, 2e4, 401)
    ue, un, up = mogi(east, 0.0, depth=3000.0, volume=1e6)
    assert up.argmax() == 200
    assert np.isclose(up[200], 0.75 * 1e6 / (np.pi * 3000.0**2))
    assert np.allclose(ue, -ue[::-1]) and np.all(un == 0)
    # the largest horizontal displacement is at depth / sqrt(2), 0.385 of the largest uplift
    assert np.isclose(abs(ue).max() / up.max(), 2 / np.sqrt(27), rtol=1e-3)


def test_mogi_uplift_integrates_to_twice_one_minus_poisson_volumes():
    radius = np.concatenate([[0], np.geomspace(1, 1e8, 200_000)])
    _, _, up = mogi(radius, 0.0, depth=2000.0, volume=5e6)
    lifted = np.trapezoid(up * 2 * np.pi * radius, radius)
    assert np.isclose(lifted, 2 * (1 - 0.25) * 5e6, rtol=1e-3)


@settings(max_examples=25)
@given(
    strike=st.floats(0, 360), dip=st.floats(0, 90), turn=st.floats(-180, 180),
    kind=st.sampled_from(["opening", "dip_slip", "strike_slip"]),
)  # fmt: skip
def test_a_turned_source_gives_the_turned_field(strike, dip, turn, kind):
    east, north = np.array([1500.0, -700.0, 3100.0]), np.array([900.0, 2500.0, -1234.0])
    source = {"depth": 4000.0, "dip": dip, "length": 3000.0, "width": 2000.0, kind: 1.0}
    plain = rectangle(east, north, strike=strike, **source)
    a = np.deg2rad(turn)
    e2, n2 = east * np.cos(a) + north * np.sin(a), -east * np.sin(a) + north * np.cos(a)
    turned = rectangle(e2, n2, strike=strike + turn, **source)
    assert np.allclose(turned[0], plain[0] * np.cos(a) + plain[1] * np.sin(a), atol=1e-9)
    assert np.allclose(turned[1], -plain[0] * np.sin(a) + plain[1] * np.cos(a), atol=1e-9)
    assert np.allclose(turned[2], plain[2], atol=1e-9)


@settings(max_examples=20)
@given(dip=st.floats(0, 90), cut=st.floats(0.2, 0.8))
def test_two_halves_make_the_whole(dip, cut):
    x, y = np.array([1.0, -4.0, 6.0]), np.array([2.0, 5.0, -3.0])
    common = {"depth": 6.0, "dip": dip, "width": 3.0, "opening": 1.0}
    whole = okada(x, y, length=4.0, **common)
    first = okada(x, y, length=4.0 * cut, **common)
    second = okada(x - 4.0 * cut, y, length=4.0 * (1 - cut), **common)
    for a, b, c in zip(whole, first, second, strict=True):
        assert np.allclose(a, b + c, atol=1e-12)


def test_a_nearly_vertical_dyke_is_close_to_a_vertical_one():
    place = (np.array([3.0, -2.0]), np.array([4.0, 1.0]))
    common = {"depth": 5.0, "length": 3.0, "width": 2.0, "opening": 1.0}
    for a, b in zip(okada(*place, dip=90, **common), okada(*place, dip=89.99, **common), strict=True):
        assert np.allclose(a, b, rtol=2e-3, atol=1e-5)


def test_a_sill_lifts_its_own_volume_far_and_wide():
    # all of the volume that a sill opens comes up at the surface of an elastic half-space
    axis = np.linspace(-300e3, 300e3, 801)
    east, north = np.meshgrid(axis, axis)
    _, _, up = rectangle(east, north, depth=5000.0, strike=30.0, dip=0.0, length=3000.0, width=2000.0, opening=1.0)
    step = axis[1] - axis[0]
    assert np.isclose(up.sum() * step**2, 3000 * 2000 * 1.0, rtol=0.03)
    assert up.max() < 1.0


def test_a_rectangle_above_the_surface_is_refused():
    with pytest.raises(ValueError, match="above the surface"):
        rectangle(0.0, 0.0, depth=500.0, strike=0, dip=90, length=1000, width=2000, opening=1)
