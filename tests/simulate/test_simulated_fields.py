"""Random fields: variance, correlation, spectrum, and numbers that do not depend on the order of drawing."""

import numpy as np
import pytest

from deepcube.cubes.simulate.fields import Sequence, gaussian_spectrum, power_law_spectrum, stream


@pytest.mark.parametrize("shape", [(40, 61), (64, 64), (17, 90)])
@pytest.mark.parametrize("length", [1.5, 6.0])
def test_gaussian_fields_have_unit_variance_and_their_correlation_length(shape, length):
    spectrum = gaussian_spectrum(shape, length)
    fields = np.stack([spectrum.draw(stream(0, 1, i)) for i in range(200)])
    assert fields.shape[1:] == shape
    assert np.isclose((fields**2).mean(), 1.0, rtol=0.12)
    lag = round(length)
    found = (fields[:, :, lag:] * fields[:, :, :-lag]).mean() / (fields**2).mean()
    assert np.isclose(found, np.exp(-(lag**2) / (2 * length**2)), atol=0.06)


@pytest.mark.parametrize("exponent", [8 / 3, 11 / 3])
def test_power_law_fields_have_their_exponent(exponent):
    size = 128
    spectrum = power_law_spectrum((size, size), exponent)
    wave = np.hypot(np.fft.fftfreq(spectrum.padded[0])[:, None], np.fft.rfftfreq(spectrum.padded[1])[None])
    inside = (wave > 0.05) & (wave < 0.4)
    slope = np.polyfit(np.log(wave[inside]), np.log(spectrum.amplitude[inside] ** 2), 1)[0]
    assert np.isclose(slope, -exponent, atol=0.05)
    assert np.isclose(np.mean([spectrum.draw(stream(1, i)).var() for i in range(100)]), 1.0, atol=0.35)


def test_streams_do_not_depend_on_each_other():
    one = stream(7, 1, 5).standard_normal(4)
    stream(7, 1, 4).standard_normal(1000)
    assert np.array_equal(one, stream(7, 1, 5).standard_normal(4))
    assert not np.array_equal(one, stream(7, 1, 6).standard_normal(4))
    assert not np.array_equal(one, stream(8, 1, 5).standard_normal(4))


def test_sequences_remember():
    sequence = Sequence(gaussian_spectrum((30, 30), 1.0), 0.7, seed=2, purpose=9)
    fields = np.stack([sequence.next() for _ in range(150)])
    assert np.isclose(fields.var(), 1.0, atol=0.1)
    assert np.isclose((fields[1:] * fields[:-1]).mean() / fields.var(), 0.7, atol=0.04)
