"""What the rest of the platform calls in the online store: a kind of built-in job, the log of a new feature view."""

from __future__ import annotations

from deepcube.embedded.online import feature_log
from deepcube.embedded.online.materialize import JOB_KIND, run_job
from deepcube.embedded.runtime.builtin import BUILTINS


def register() -> None:
    """Register what others call; done once, when the wires are loaded."""
    BUILTINS[JOB_KIND] = run_job
    feature_log.register()
