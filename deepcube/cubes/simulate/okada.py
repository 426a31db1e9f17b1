"""Deformation of the surface by sources in the ground: Mogi's point and Okada's rectangle."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Components of a displacement field."""

_Term = Callable[..., NDArray[np.float64]]


def mogi(east: ArrayLike, north: ArrayLike, depth: float, volume: float, poisson: float = 0.25) -> Vector:
    """Return the displacement by a point that changes its volume in an elastic half-space.

    Mogi, Bulletin of the Earthquake Research Institute 36, 99-134, 1958: with ``R**2 = east**2 + north**2 + depth**2``
    the displacement is ``(1 - poisson) * volume / pi * (east, north, depth) / R**3``.

    Parameters
    ----------
    east, north : array-like of float
        Position relative to the point above the source, m.
    depth : float
        Depth of the source, m.
    volume : float
        Change of volume, cubic metres; positive for inflation.
    poisson : float
        Poisson's ratio.

    Returns
    -------
    east, north, up : numpy.ndarray of float64
        Displacement in m.
    """
    x, y = np.broadcast_arrays(np.asarray(east, dtype=float), np.asarray(north, dtype=float))
    scale = (1 - poisson) * volume / np.pi / (x**2 + y**2 + depth**2) ** 1.5
    return scale * x, scale * y, scale * depth


def okada(
    x: ArrayLike,
    y: ArrayLike,
    *,
    depth: float,
    dip: float,
    length: float,
    width: float,
    strike_slip: float = 0.0,
    dip_slip: float = 0.0,
    opening: float = 0.0,
    medium: float = 0.5,
) -> Vector:
    """Return the surface displacement by a rectangular dislocation in an elastic half-space, in its own axes.

    Okada, Bulletin of the Seismological Society of America 75, 1135-1154, 1985, eqs. 25-30. The *lower* edge of the
    rectangle runs from the origin along ``x``; the rectangle rises from there against the dip, so that for a dip below
    90 degrees it lies on the side of positive ``y``.

    Parameters
    ----------
    x, y : array-like of float
        Position on the surface, along and across the strike, in any unit of length.
    depth : float
        Depth of the lower edge, same unit.
    dip : float
        Angle from the horizontal, degrees, 0 to 90 (negative as in Okada's checks).
    length, width : float
        Sides of the rectangle along strike and along dip, same unit.
    strike_slip, dip_slip, opening : float
        Dislocation in the unit of the result.
    medium : float
        ``mu / (lambda + mu)``, 0.5 for a Poisson solid.

    Returns
    -------
    x, y, up : numpy.ndarray of float64
        Displacement in the unit of the dislocation.
    """
    px, py = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    sine, cosine = _sine_cosine(dip)
    p, q = py * cosine + depth * sine, py * sine - depth * cosine
    result = [np.zeros(px.shape) for _ in range(3)]
    for slip, term in ((-strike_slip, _strike), (-dip_slip, _dip), (opening, _tensile)):
        if slip:
            corners = [(px, p, 1), (px, p - width, -1), (px - length, p, -1), (px - length, p - width, 1)]
            for xi, eta, sign in corners:
                for total, part in zip(result, term(xi, eta, q, sine, cosine, medium), strict=True):
                    total += sign * slip / (2 * np.pi) * part
    return result[0], result[1], result[2]


def rectangle(
    east: ArrayLike,
    north: ArrayLike,
    *,
    depth: float,
    strike: float,
    dip: float,
    length: float,
    width: float,
    opening: float = 0.0,
    strike_slip: float = 0.0,
    dip_slip: float = 0.0,
    poisson: float = 0.25,
) -> Vector:
    """Return the displacement by a rectangle given by its centre, in geographic axes.

    A sill is a rectangle of dip 0 that opens, a dyke one of dip near 90 that opens, a fault one that slips.

    Parameters
    ----------
    east, north : array-like of float
        Position relative to the point above the centre of the rectangle, m.
    depth : float
        Depth of the centre, m; the upper edge must not be above the surface.
    strike : float
        Azimuth of the strike, degrees clockwise from north; the rectangle dips to its right.
    dip, length, width, opening, strike_slip, dip_slip
        As in :func:`okada`; lengths in m.
    poisson : float
        Poisson's ratio.

    Returns
    -------
    east, north, up : numpy.ndarray of float64
        Displacement in m.

    Raises
    ------
    ValueError
        If the rectangle reaches above the surface.
    """
    sine, cosine = _sine_cosine(dip)
    lower = depth + sine * width / 2
    if lower - sine * width < 0:
        raise ValueError(
            f"Found a rectangle centred {depth} m deep whose upper edge is {sine * width / 2 - depth:.0f} m above the "
            "surface; expected it below. Make it deeper or narrower."
        )
    azimuth = np.deg2rad(strike)
    e, n = np.broadcast_arrays(np.asarray(east, dtype=float), np.asarray(north, dtype=float))
    along = e * np.sin(azimuth) + n * np.cos(azimuth) + length / 2
    across = -e * np.cos(azimuth) + n * np.sin(azimuth) + cosine * width / 2
    ux, uy, up = okada(
        along,
        across,
        depth=lower,
        dip=dip,
        length=length,
        width=width,
        strike_slip=strike_slip,
        dip_slip=dip_slip,
        opening=opening,
        medium=1 - 2 * poisson,
    )
    return ux * np.sin(azimuth) - uy * np.cos(azimuth), ux * np.cos(azimuth) + uy * np.sin(azimuth), up


def _sine_cosine(dip: float) -> tuple[float, float]:
    """Return sine and cosine of a dip; within a thousandth of a degree of vertical it is vertical.

    The terms for a slanting rectangle cancel there to the square of the cosine, which costs all digits.
    """
    angle = np.deg2rad(dip)
    if abs(abs(dip) - 90) < 1e-3:
        return float(np.sign(dip)), 0.0
    return float(np.sin(angle)), float(np.cos(angle))


class _Parts:
    """Quantities that the three kinds of dislocation share (Okada 1985, eqs. 28-30)."""

    def __init__(
        self, xi: NDArray[np.float64], eta: NDArray[np.float64], q: NDArray[np.float64], sine: float, cosine: float,
        medium: float,
    ) -> None:  # fmt: skip
        self.r = np.sqrt(xi**2 + eta**2 + q**2)
        self.y = eta * cosine + q * sine
        self.d = eta * sine - q * cosine
        r, d, y = self.r, self.d, self.y
        safe = np.where(q == 0, 1.0, q)
        self.theta = np.where(q == 0, 0.0, np.arctan(xi * eta / (safe * r)))
        ahead, below = r + xi, r + eta
        self.r_eta = np.where(below > 1e-12 * r, 1 / np.where(below > 1e-12 * r, r * below, 1.0), 0.0)  # his rule (iii)
        self.r_xi = np.where(ahead > 1e-12 * r, 1 / np.where(ahead > 1e-12 * r, r * ahead, 1.0), 0.0)
        regular = below > 1e-12 * r
        self.log_eta = np.where(
            regular, np.log(np.where(regular, below, 1.0)), -np.log(np.where(regular, 1.0, r - eta))
        )
        if cosine != 0:
            reach = np.sqrt(xi**2 + q**2)
            with np.errstate(divide="ignore", invalid="ignore"):
                angle = np.arctan(
                    (eta * (reach + q * cosine) + reach * (r + reach) * sine) / (xi * (r + reach) * cosine)
                )
            i5 = medium * 2 / cosine * np.where(xi == 0, 0.0, angle)
            i4 = medium / cosine * (np.log(r + d) - sine * self.log_eta)
            i3 = medium * (y / (cosine * (r + d)) - self.log_eta) + sine / cosine * i4
            i1 = medium * (-xi / (cosine * (r + d))) - sine / cosine * i5
        else:
            i5 = -medium * xi * sine / (r + d)
            i4 = -medium * q / (r + d)
            i3 = medium / 2 * (eta / (r + d) + y * q / (r + d) ** 2 - self.log_eta)
            i1 = -medium / 2 * xi * q / (r + d) ** 2
        self.i1, self.i3, self.i4, self.i5 = i1, i3, i4, i5
        self.i2 = medium * -self.log_eta - i3


def _strike(
    xi: NDArray[np.float64], eta: NDArray[np.float64], q: NDArray[np.float64], sine: float, cosine: float, medium: float
) -> Vector:
    """Return the terms of strike slip (eq. 25)."""
    t = _Parts(xi, eta, q, sine, cosine, medium)
    x = xi * q * t.r_eta + t.theta + t.i1 * sine
    y = t.y * q * t.r_eta + q * cosine * t.r * t.r_eta + t.i2 * sine
    up = t.d * q * t.r_eta + q * sine * t.r * t.r_eta + t.i4 * sine
    return x, y, up


def _dip(
    xi: NDArray[np.float64], eta: NDArray[np.float64], q: NDArray[np.float64], sine: float, cosine: float, medium: float
) -> Vector:
    """Return the terms of dip slip (eq. 26)."""
    t = _Parts(xi, eta, q, sine, cosine, medium)
    x = q / t.r - t.i3 * sine * cosine
    y = t.y * q * t.r_xi + cosine * t.theta - t.i1 * sine * cosine
    up = t.d * q * t.r_xi + sine * t.theta - t.i5 * sine * cosine
    return x, y, up


def _tensile(
    xi: NDArray[np.float64], eta: NDArray[np.float64], q: NDArray[np.float64], sine: float, cosine: float, medium: float
) -> Vector:
    """Return the terms of opening (eq. 27)."""
    t = _Parts(xi, eta, q, sine, cosine, medium)
    x = q**2 * t.r_eta - t.i3 * sine**2
    y = -t.d * q * t.r_xi - sine * (xi * q * t.r_eta - t.theta) - t.i1 * sine**2
    up = t.y * q * t.r_xi + cosine * (xi * q * t.r_eta - t.theta) - t.i5 * sine**2
    return x, y, up
