"""Expectations of the wildfire feature groups: keys present, values within their physical ranges.

Great Expectations is optional: where it is not installed, or not to be imported (see ``UseCase.validates``), rows are
written unchecked, the source itself having been checked when it was opened.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from typing import Any

from features.wildfire.layout import CODES, TERRAIN, VEGETATION, WEATHER, plain_names, quantity_of

_CHECKED = {
    "weather": [*(f"{one.name}_lag_0" for one in WEATHER), *plain_names(CODES)],
    "surface": ["lst_day_lag_0", "lst_night_lag_0", *plain_names(VEGETATION)],
    "static": plain_names(TERRAIN),
}
_KEY = {"targets": "cell_id", "weather": "weather_cell", "surface": "cell_id", "static": "cell_id"}


def attach_expectations(group: Any, name: str) -> bool:
    """Have the rows of a feature group checked from now on, if Great Expectations can be used.

    Parameters
    ----------
    group : hsfs.feature_group.FeatureGroup
        The group.
    name : {"targets", "weather", "surface", "static"}
        Which one it is.

    Returns
    -------
    bool
        Whether its rows are checked.
    """
    blocked = "great_expectations" in sys.modules and sys.modules["great_expectations"] is None
    if blocked or importlib.util.find_spec("great_expectations") is None:
        return False
    if group.id is not None and group.get_expectation_suite() is not None:
        return True
    os.environ.setdefault("TQDM_DISABLE", "1")  # its progress bars would fill the log of a job
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    logging.getLogger("great_expectations").setLevel(logging.WARNING)

    def expect(kind: str, column: str, **limits: Any) -> ExpectationConfiguration:
        return ExpectationConfiguration(type=f"expect_column_values_to_{kind}", kwargs={"column": column, **limits})

    expectations = [expect("not_be_null", _KEY[name])]
    if name == "targets":
        expectations.append(expect("be_in_set", "fire", value_set=[-1, 0, 1]))
        expectations.append(expect("be_between", "weight", min_value=0))
    for column in _CHECKED.get(name, ()):
        known = quantity_of(column)
        expectations.append(expect("be_between", column, min_value=known.low, max_value=known.high, mostly=0.999))
    suite = gx.core.ExpectationSuite(name=f"wildfire_{name}", expectations=expectations)
    group.save_expectation_suite(suite, validation_ingestion_policy="ALWAYS")
    return True
