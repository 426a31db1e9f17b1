"""A panel of districts and weeks whose causal graph is known: drought, prices, conflict and displaced persons."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepcube.cubes.simulate.fields import Floats, stream
from deepcube.cubes.simulate.registry import Report, Simulator

NODES = ("spei_6m", "water_price", "food_price", "livestock_price", "fatalities", "displaced")
"""Variables, in the order of the latent state."""

# cause, effect, lag in weeks, coefficient on standardised latent variables
_COMMON = (
    ("spei_6m", "water_price", 2, -0.35),
    ("spei_6m", "livestock_price", 6, 0.25),
    ("water_price", "food_price", 3, 0.20),
)
GRAPHS: dict[str, tuple[tuple[str, str, int, float], ...]] = {
    "drought": (*_COMMON, ("spei_6m", "displaced", 4, -0.30), ("water_price", "displaced", 2, 0.35)),
    "conflict": (*_COMMON, ("fatalities", "displaced", 1, 0.45), ("food_price", "fatalities", 5, 0.20)),
    "markets": (*_COMMON, ("food_price", "displaced", 3, 0.40), ("livestock_price", "displaced", 4, -0.25)),
}
"""Links between variables by mechanism: cause, effect, lag in weeks, coefficient."""

MEMORY = {
    "spei_6m": 0.96,
    "water_price": 0.6,
    "food_price": 0.7,
    "livestock_price": 0.7,
    "fatalities": 0.35,
    "displaced": 0.4,
}
"""Coefficient of each variable on itself a week before."""


@dataclass(frozen=True)
class DisplacementParameters:
    """Parameters of the panel.

    Attributes
    ----------
    districts, weeks : int
        Size of the panel.
    start : str
        First week, a Monday.
    noise : float
        Standard deviation of the weekly shocks of all but the drought index.
    strength : float
        Factor of all coefficients between variables; 0 cuts every link.
    missing : float
        Share of weeks without a report of displaced persons.
    burn_in : int
        Weeks simulated before the first one, so that the panel starts in its usual state.
    """

    districts: int = 74
    weeks: int = 724
    start: str = "2010-01-04"
    noise: float = 0.6
    strength: float = 1.0
    missing: float = 0.1
    burn_in: int = 200


def links(mechanism: str, strength: float = 1.0) -> dict[int, Floats]:
    """Return the coefficient matrices of a mechanism by lag.

    Returns
    -------
    dict of int to numpy.ndarray of float64, shape (effect, cause)
        Matrices for the lags with a link, in the order of :data:`NODES`; lag 1 holds the memory too.
    """
    place = {name: i for i, name in enumerate(NODES)}
    matrices = {1: np.diag([MEMORY[name] for name in NODES]).astype(float)}
    for cause, effect, lag, coefficient in GRAPHS[mechanism]:
        matrix = matrices.setdefault(lag, np.zeros((len(NODES), len(NODES))))
        matrix[place[effect], place[cause]] += strength * coefficient
    return matrices


def spectral_radius(matrices: dict[int, Floats]) -> float:
    """Return the spectral radius of the process; it is stationary below 1."""
    order, size = max(matrices), len(NODES)
    companion = np.zeros((order * size, order * size))
    companion[size:, :-size] = np.eye((order - 1) * size)
    for lag, matrix in matrices.items():
        companion[:size, (lag - 1) * size : lag * size] = matrix
    return float(np.abs(np.linalg.eigvals(companion)).max())


def latent_series(matrices: dict[int, Floats], shocks: Floats) -> Floats:
    """Return ``x[t] = sum over lags of A[lag] x[t - lag] + shock[t]``, starting from 0.

    Parameters
    ----------
    matrices : dict of int to numpy.ndarray
        See :func:`links`.
    shocks : numpy.ndarray of float64, shape (week, node)
        Independent shocks.
    """
    state = np.zeros_like(shocks)
    for t in range(len(shocks)):
        state[t] = shocks[t]
        for lag, matrix in matrices.items():
            if t >= lag:
                state[t] += matrix @ state[t - lag]
    return state


def observe(state: Floats, scale: float, generator: np.random.Generator) -> dict[str, Floats]:
    """Return what is reported of a latent state: an index, prices in dollars, counts.

    Counts are Poisson with a rate that grows with the latent variable, ``scale`` times as many persons as usual.
    """
    x = dict(zip(NODES, state.T, strict=True))
    return {
        "spei_6m": np.clip(x["spei_6m"], -3.09, 3.09),
        "water_price": 1.8 * np.exp(0.15 * x["water_price"]),
        "food_price": 0.7 * np.exp(0.12 * x["food_price"]),
        "livestock_price": 45.0 * np.exp(0.15 * x["livestock_price"]),
        "fatalities": generator.poisson(np.exp(np.clip(0.6 + 0.6 * x["fatalities"], None, 8))).astype(float),
        "displaced": generator.poisson(scale * np.exp(np.clip(3.0 + 0.9 * x["displaced"], None, 12))).astype(float),
    }


def run(folder: Path, parameters: DisplacementParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate ``panel.parquet`` and the latent state in ``truth.parquet``, a district after the other."""
    p = parameters
    weeks = pd.date_range(p.start, periods=p.weeks, freq="7D")
    writers: dict[str, pq.ParquetWriter] = {}
    mechanisms = {}
    try:
        for number in range(p.districts):
            generator = stream(seed, 600, number)
            name = f"district_{number + 1:02d}"
            mechanisms[name] = mechanism = tuple(GRAPHS)[number % len(GRAPHS)]
            shocks = generator.normal(0, p.noise, (p.burn_in + p.weeks, len(NODES)))
            memory = MEMORY["spei_6m"]
            shocks[:, 0] = generator.normal(0, np.sqrt(1 - memory**2), len(shocks))  # the index has unit variance
            state = latent_series(links(mechanism, p.strength), shocks)[p.burn_in :]
            seen = observe(state, float(generator.lognormal(0, 0.7)), generator)
            seen["displaced"] = np.where(generator.random(p.weeks) < p.missing, np.nan, seen["displaced"])
            for file, columns in (
                ("panel.parquet", seen),
                ("truth.parquet", {**dict(zip(NODES, state.T, strict=True)), "mechanism": [mechanism] * p.weeks}),
            ):
                frame = pd.DataFrame({"district": name, "week": weeks, **columns})
                table = pa.Table.from_pandas(frame, preserve_index=False)
                table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"simulated": b"true"})
                if file not in writers:
                    writers[file] = pq.ParquetWriter(folder / file, table.schema)
                writers[file].write_table(table)
            report((number + 1) / p.districts)
    finally:
        for writer in writers.values():
            writer.close()
    graph = {
        mechanism: [
            {"cause": cause, "effect": effect, "lag_weeks": lag, "coefficient": p.strength * coefficient}
            for cause, effect, lag, coefficient in found
        ]
        for mechanism, found in GRAPHS.items()
    }
    return {
        "data": "panel.parquet",
        "truth": "truth.parquet",
        "graph": graph,
        "memory": MEMORY,
        "mechanism_by_district": mechanisms,
    }


SIMULATOR = Simulator(
    name="displacement",
    title="Weekly panel of districts: drought, prices, fatalities and displaced persons from a known causal graph",
    parameters=DisplacementParameters(),
    sizes={"tiny": {"districts": 6, "weeks": 200}, "small": {"districts": 24}, "full": {}},
    run=run,
)
"""The simulator, as the registry finds it."""
