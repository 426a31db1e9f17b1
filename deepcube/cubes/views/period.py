"""A variable at coarser time steps: means of states and rates, sums of amounts, the commonest of classes.

Steps of fixed length are those of :mod:`deepcube.cubes.steps`: step *k* is the end of the window
``(step k-1, step k]``, at whole multiples of the length from 1970. Calendar months and years hold the times dated in
them and carry the date of their last day. Nothing that happens after a step's date, to the day, is in it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.errors import ViewError
from deepcube.cubes.steps import Steps, native_steps, regular_step, window_steps
from deepcube.cubes.variables import Variable

_CALENDAR = {"month": "M", "monthly": "M", "year": "Y", "yearly": "Y"}


def steps_of(times: pd.DatetimeIndex, step: str | pd.Timedelta) -> tuple[Steps, NDArray[np.int64]]:
    """Return the coarser time axis of a view.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Times of the cube.
    step : str or pandas.Timedelta
        ``"month"``, ``"year"`` or a length such as ``"10D"``.

    Returns
    -------
    steps : Steps
        The steps and which one each time falls in.
    expected : numpy.ndarray of int, shape (steps,)
        Times that a complete step has; 0 where the cube's own axis is irregular, so that nobody knows.

    Raises
    ------
    ViewError
        If the step is none, or finer than the cube's own.
    """
    own = regular_step(times)
    if isinstance(step, str) and step in _CALENDAR:
        periods = times.to_period(_CALENDAR[step])
        labels = pd.period_range(periods[0], periods[-1], freq=_CALENDAR[step])
        window = np.asarray(labels.get_indexer(periods), dtype=np.int64)
        ends = pd.DatetimeIndex(labels.end_time.normalize())
        lengths = (labels.end_time - labels.start_time + pd.Timedelta(1, "ns")).to_numpy()
        steps = Steps(ends, pd.Timedelta(np.median(lengths.astype("timedelta64[ns]"))), window, native=False)
    else:
        try:
            length = pd.Timedelta(step)
        except ValueError as error:
            raise ViewError(f"Found the step {step!r}; expected 'month', 'year' or a length such as '10D'.") from error
        if length <= pd.Timedelta(0):
            raise ViewError(f"Found the step {step!r}; expected a positive length.")
        if own is not None and length == own:
            return native_steps(times), np.ones(len(times), dtype=np.int64)
        steps = window_steps(times, length)
        lengths = np.full(len(steps.times), length.to_timedelta64())
    shortest = own if own is not None else None
    if shortest is not None and lengths.min() < (shortest * 0.75).to_timedelta64():
        raise ViewError(
            f"Found the step {step!r} for times about {shortest} apart; expected one that is not finer, as what lies "
            "between observations is not known."
        )
    if shortest is None:
        return steps, np.zeros(len(steps.times), dtype=np.int64)
    expected = np.rint(lengths.astype("timedelta64[ns]").astype(float) / shortest.value).astype(np.int64)
    return steps, np.maximum(expected, 1)


def aggregate(
    data: xr.DataArray, variable: Variable, steps: Steps, expected: NDArray[np.int64], least: float
) -> xr.DataArray:
    """Return a variable at coarser steps, lazily if it is chunked.

    Parameters
    ----------
    data : xarray.DataArray
        Values with the dimension ``time``; gaps are NaN.
    variable : Variable
        Its description: amounts and counts are summed, classes go to the commonest (the smallest code among equals),
        everything else is averaged.
    steps : Steps
        Windows.
    expected : numpy.ndarray of int, shape (steps,)
        Times of a complete window; 0 where unknown.
    least : float
        Share of the times of a window that must be valid for a mean or a class. A sum needs all of them: a total with
        something missing is no total.
    """
    if steps.native:
        return data
    how = "mode" if variable.kind == "categorical" else "sum" if variable.accumulates else "mean"
    used = np.flatnonzero(steps.window < len(steps.times))
    window, count = steps.window[used], len(steps.times)

    def apply(values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Reduce arrays of shape (..., time)."""
        held = np.moveaxis(np.asarray(values, dtype=np.float64), -1, 0)[used]
        valid = np.isfinite(held)
        present = np.zeros((count, *held.shape[1:]))
        np.add.at(present, window, valid)
        times = np.maximum(np.bincount(window, minlength=count), expected).reshape(-1, *[1] * (held.ndim - 1))
        if how == "mode":
            result = _commonest(held, valid, window, count)
        else:
            total = np.zeros_like(present)
            np.add.at(total, window, np.where(valid, held, 0.0))
            result = total if how == "sum" else total / np.maximum(present, 1)
        enough = (present > 0) & (present >= (1.0 if how == "sum" else least) * times * (1 - 1e-9))
        return np.moveaxis(np.where(enough, result, np.nan), 0, -1)

    reduced: xr.DataArray = xr.apply_ufunc(
        apply,
        data.chunk({"time": -1}) if data.chunks is not None else data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        exclude_dims={"time"},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"time": count}},
        keep_attrs=True,
    )
    reduced = reduced.assign_coords(time=steps.times).transpose(*data.dims)
    if data.dtype == np.float32:
        reduced = reduced.astype(np.float32)
    reduced.attrs["cell_methods"] = f"time: {how}"
    return reduced


def _commonest(
    held: NDArray[np.float64], valid: NDArray[np.bool_], window: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    best = np.zeros((count, *held.shape[1:]))
    result = np.full(best.shape, np.nan)
    for code in np.unique(held[valid]):
        votes = np.zeros_like(best)
        np.add.at(votes, window, held == code)
        larger = votes > best
        best[larger], result[larger] = votes[larger], code
    return result
