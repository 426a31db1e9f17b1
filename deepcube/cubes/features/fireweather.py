"""The Canadian fire weather codes day after day, carried from one block of days to the next."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

Block = NDArray[np.float64]
"""Values of shape (time, y, x)."""


@dataclass(eq=False)
class FireWeather:
    """Codes of the Canadian Forest Fire Weather Index System (van Wagner, 1987), computed by xclim.

    Attributes
    ----------
    latitude : float or numpy.ndarray of shape (y, x)
        Degrees, for the day length.
    ffmc, dmc, dc : numpy.ndarray of shape (y, x), or float
        Moisture codes of the day before; the usual start-up values in spring at first.
    """

    latitude: NDArray[np.float64] | float
    ffmc: NDArray[np.float64] | float = 85.0
    dmc: NDArray[np.float64] | float = 6.0
    dc: NDArray[np.float64] | float = 15.0

    def advance(
        self, times: pd.DatetimeIndex, temperature: Block, humidity: Block, wind: Block, rain: Block
    ) -> dict[str, Block]:
        """Return the codes of a block of days and remember the last ones.

        Parameters
        ----------
        times : pandas.DatetimeIndex, shape (time,)
            Consecutive days.
        temperature, humidity, wind, rain : numpy.ndarray, shape (time, y, x)
            At noon: degrees Celsius, per cent, km/h; rain of the 24 hours before, mm.

        Returns
        -------
        dict of str to numpy.ndarray of shape (time, y, x)
            ``ffmc``, ``dmc``, ``dc``, ``isi``, ``bui`` and ``fwi``.
        """
        from xclim.indices import cffwis_indices  # loads numba: seconds

        def data(values: Block | float, units: str, axes: tuple[str, ...] = ("time", "y", "x")) -> xr.DataArray:
            array = np.broadcast_to(np.asarray(values, dtype=float), temperature.shape[-len(axes) :])
            coords = {"time": times} if "time" in axes else None
            return xr.DataArray(array.copy(), dims=axes, coords=coords, attrs={"units": units})

        start = {name: data(getattr(self, name), "", ("y", "x")) for name in ("ffmc", "dmc", "dc")}
        found = cffwis_indices(
            tas=data(temperature, "degC"),
            pr=data(rain, "mm/d"),
            sfcWind=data(wind, "km/h"),
            hurs=data(humidity, "%"),
            lat=data(self.latitude, "degrees_north", ("y", "x")),
            ffmc0=start["ffmc"],
            dmc0=start["dmc"],
            dc0=start["dc"],
        )
        names = ("dc", "dmc", "ffmc", "isi", "bui", "fwi")
        codes = {n: v.transpose("time", "y", "x").to_numpy() for n, v in zip(names, found, strict=True)}
        self.ffmc, self.dmc, self.dc = codes["ffmc"][-1], codes["dmc"][-1], codes["dc"][-1]
        return codes


def fuel_moisture(ffmc: Block) -> Block:
    """Return the moisture of dead fine fuel in per cent of dry weight (van Wagner, 1987, eq. 1)."""
    return 147.2 * (101 - ffmc) / (59.5 + ffmc)
