"""Options that several configurations share."""

import os
from typing import Any

from deepcube.oblivious.errors import ExperimentConfigError


def at_least(least: int, **options: Any) -> None:
    """Check that options are whole numbers of at least ``least``.

    Raises
    ------
    ExperimentConfigError
        If one is not.
    """
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ExperimentConfigError(f"Found {name}={value!r}; expected a whole number of at least {least}.")


def shared_processors(workers: int) -> dict[str, str]:
    """Return the environment that lets workers share this machine's processors evenly."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {**dict.fromkeys(names, threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
