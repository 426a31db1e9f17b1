"""The one door to Maggy 1.1.2: makes it run on the current stack without Spark, a network or a changed home folder.

Importing this module once, before or after ``maggy.experiment``, is enough:

- ``experiment.lagom`` chooses its mode by whether ``pyspark`` can be imported and then boots a Java machine. Here it
  always takes the plain Python mode; Spark is one of our launchers, never a side effect.
- Maggy overwrites ``$HOME`` with the current folder so that its files land there. Here ``$HOME`` is left alone.
- Maggy creates ``experiment_log`` in the current folder at import, and deletes a run's folder that already exists.
  Here drivers create the folder of each run.
"""

import os
from typing import Any

import maggy.core.config as maggy_config
from maggy import util
from maggy.config.lagom import LagomConfig
from maggy.core.environment.base import BaseEnv
from maggy.core.environment.singleton import EnvSing
from maggy.experiment.experiment_python import lagom_driver

from deepcube.oblivious.record import working_folder


class LocalEnvironment(BaseEnv):
    """Maggy's view of this machine: where logs belong, and nothing to register anywhere."""

    def __init__(self) -> None:
        self.app_id: str | None = None

    @property
    def log_dir(self) -> str:
        """Folder that Maggy's own optimizers log to."""
        return str(working_folder() / "runs" / "maggy")

    def set_app_id(self, app_id: str) -> None:
        """Remember the identifier of the application; missing in Maggy's base class."""
        self.app_id = app_id

    def create_experiment_dir(self, app_id: str, run_id: int) -> None:
        """Create nothing: each driver makes the folder of its own run."""

    def get_ip_address(self) -> str:
        """Return the loopback address; Maggy asks Spark."""
        return "127.0.0.1"

    def load(self, path: str) -> str:
        """Return the text of a file; missing in Maggy's base class."""
        with self.open_file(path) as file:
            return str(file.read())


def set_ml_id(app_id: Any, run_id: Any) -> None:
    """Identify the experiment in ``$ML_ID`` as Maggy does, without overwriting ``$HOME``."""
    os.environ["ML_ID"] = f"{app_id}_{run_id}"


maggy_config.SPARK_AVAILABLE = False
util.set_ml_id = set_ml_id
EnvSing.obj = LocalEnvironment()

__all__ = ["LagomConfig", "LocalEnvironment", "lagom_driver", "set_ml_id"]
