"""What is normal at a place and season: the reference that drought explanations compare with."""

from collections.abc import Sequence

import pandas as pd

from features.drought.schema import EXTRA_UNITS, LAGS, PERSISTENCE

NORMAL_CONDITIONS = (
    "normal conditions at the same place and season: NDVI observed at every step and equal to its climatology"
)
"""What an explanation compares with."""


def normal_meaning(names: Sequence[str]) -> str:
    """Say what an explanation of a model with these inputs compares with."""
    weather = "; weather as usual for the season" if set(names) & set(EXTRA_UNITS) else ""
    return NORMAL_CONDITIONS + weather


def normal_conditions(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the same places and dates as if everything had been normal and observed.

    Parameters
    ----------
    inputs : pandas.DataFrame
        Model inputs.

    Returns
    -------
    pandas.DataFrame
        A copy without anomalies, those of the weather included, and without gaps, the last observation being the
        climatology of now; climatology and season stay as they are.
    """
    normal = inputs.copy()
    normal[_lagged("ndvi_anomaly_lag")] = 0.0
    normal[_lagged("gap_lag")] = 0.0
    normal[PERSISTENCE] = normal["ndvi_climatology_now"]
    normal["steps_since_observation"] = 0.0
    normal[[name for name in EXTRA_UNITS if name in normal]] = 0.0
    return normal


def _lagged(name: str) -> Sequence[str]:
    return [f"{name}_{lag}" for lag in LAGS]
