"""Simulated interferograms: the phase is made of the stored truth, labels and masks agree with it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes.simulate.atmosphere import Troposphere, stratified_delay, turbulent_delay
from deepcube.cubes.simulate.fields import stream
from deepcube.cubes.simulate.interferograms import KINDS, displacement, line_of_sight, wrap


def test_the_phase_is_the_wrapped_sum_of_the_stored_parts(interferograms):
    data, truth = xr.open_zarr(interferograms.data).load(), xr.open_zarr(interferograms.truth).load()
    wavelength = interferograms.document["parameters"]["wavelength"]
    path = truth.deformation + truth.turbulent_delay + truth.stratified_delay + truth.processing_error
    error = wrap(data.phase - (4 * np.pi / wavelength * path + truth.noise))
    assert np.abs(error).max() < 2e-3  # the parts are stored with 24 bits
    assert float(data.phase.min()) >= -np.pi - 1e-6 and float(data.phase.max()) <= np.pi + 1e-6


def test_labels_masks_and_sources_agree(interferograms):
    data, truth = xr.open_zarr(interferograms.data).load(), xr.open_zarr(interferograms.truth).load()
    labels = pd.read_parquet(interferograms.folder / "labels.parquet")
    assert labels["simulated"].all()
    assert [KINDS[code] for code in data.label.to_numpy()] == labels["kind"].tolist()
    assert set(labels["kind"]) == set(KINDS)
    visible = interferograms.document["parameters"]["visible"]
    assert np.array_equal(data["mask"].to_numpy() == 1, np.abs(truth.deformation.to_numpy()) >= np.float32(visible))
    quiet = data.label.to_numpy() == 0
    assert not truth.deformation.to_numpy()[quiet].any()
    assert (data["mask"].to_numpy()[~quiet].sum(axis=(1, 2)) > 0).all()


def test_the_record_of_a_source_gives_its_field(interferograms):
    truth = xr.open_zarr(interferograms.truth).load()
    labels = pd.read_parquet(interferograms.folder / "labels.parquet")
    p = interferograms.document["parameters"]
    axis = (np.arange(p["side"]) + 0.5) * p["pixel"] - p["side"] * p["pixel"] / 2
    east, north = np.meshgrid(axis, -axis)
    for row in labels[labels["kind"] != "none"].head(6).to_dict("records"):
        look = line_of_sight(p["incidence"], row["heading"])
        towards = sum(u * part for u, part in zip(displacement(row, east, north), look, strict=True))
        assert np.allclose(-towards, truth.deformation[row["patch"]], atol=1e-6)


@pytest.mark.parametrize("heading", [-12.0, 192.0])
def test_the_line_of_sight_is_a_unit_vector_to_the_right_of_the_flight_reversed(heading):
    e, n, u = line_of_sight(39.0, heading)
    assert np.isclose(e**2 + n**2 + u**2, 1.0) and np.isclose(u, np.cos(np.deg2rad(39)))
    flight = np.array([np.sin(np.deg2rad(heading)), np.cos(np.deg2rad(heading))])
    right = np.array([flight[1], -flight[0]])
    assert np.allclose([e, n], -np.sin(np.deg2rad(39)) * right)


def test_wrapping():
    phase = np.linspace(-30, 30, 1001)
    wrapped = wrap(phase)
    assert (wrapped >= -np.pi).all() and (wrapped < np.pi).all()
    assert np.allclose(np.exp(1j * wrapped), np.exp(1j * phase))


def test_the_air():
    air = Troposphere(turbulent=0.01, stratified=0.02)
    delays = [turbulent_delay((64, 64), 100.0, air, stream(0, i)) for i in range(60)]
    assert np.isclose(np.mean([d.std() for d in delays]), 0.01, rtol=0.3)
    height = np.linspace(0, 3000, 100).reshape(10, 10)
    layered = stratified_delay(height, air)
    assert np.isclose(np.polyfit(height.ravel(), layered.ravel(), 1)[0], 0.02 / 1000)
