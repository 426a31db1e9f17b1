"""Python environments: the names that a cluster comes with, and those made from them.

The names that a cluster comes with are all the one interpreter that the server runs with. An environment made from one
of them is an overlay on it: a virtual environment of its own that sees the server's packages behind its own ones.

What an overlay holds never changes. A change of an environment makes another overlay beside the present one (a
*revision*) and ends with the catalog naming it, so that a crash leaves the old state or the new, and what runs keeps
what it was started with. This module says which there are; :mod:`.environments_service` makes and changes them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, not_found, unsupported
from deepcube.embedded.platform import Platform, Project

ENVIRONMENT = "python_environment"
ENVIRONMENT_NOT_FOUND = 300000

#: Environments that a cluster comes with, and what each is for.
BASES = {
    "python-feature-pipeline": "feature pipelines with pandas or polars",
    "pandas-training-pipeline": "training with scikit-learn",
    "tensorflow-training-pipeline": "training with TensorFlow",
    "torch-training-pipeline": "training with PyTorch",
    "pandas-inference-pipeline": "predictors with scikit-learn",
    "tensorflow-inference-pipeline": "predictors with TensorFlow",
    "torch-inference-pipeline": "predictors with PyTorch",
    "spark-feature-pipeline": "feature pipelines with Spark, in local mode",
    "minimal-inference-pipeline": "predictors without further libraries",
}
_AGENTS = "python-agent-pipeline"  # the client starts from it when it deploys an agent

# Where the server finds its own modules is no business of an environment that has modules of its own.
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Interpreter:
    """What runs a program.

    Attributes
    ----------
    python : Path
        The program ``python``.
    overlay : Path or None
        Folder of the virtual environment; None for the server's own.
    """

    python: Path
    overlay: Path | None = None

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables of a program, given those that it would otherwise have."""
        if self.overlay is None:
            return dict(inherited)
        kept = {name: value for name, value in inherited.items() if name not in _LEFT_OUT}
        path = os.pathsep.join([str(self.python.parent), kept.get("PATH", os.defpath)])
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.overlay)}


def overlays_folder(platform: Platform) -> Path:
    """Return the folder of all overlays."""
    return platform.home.root / "environments"


def find_environment(platform: Platform, project: Project, name: str) -> Entity | None:
    """Return an environment that was made in a project; None for one that a cluster comes with.

    Raises
    ------
    ApiError
        404 with code 300000 if there is none of the name, 501 for the one of agents.
    """
    entity = platform.catalog.first(project.id, ENVIRONMENT, name=name)
    if entity is None and name == _AGENTS:
        raise unsupported("ModelServing.deploy_agent", "deploy a script that defines `class Predict` with Model.deploy")
    if entity is None and name not in BASES:
        raise not_found(f"no environment named {name!r}; there are {_known(platform, project)}", ENVIRONMENT_NOT_FOUND)
    return entity


def check_environment(platform: Platform, project: Project, name: object) -> None:
    """Check the environment that a job or a deployment names; None means the server's own interpreter.

    Raises
    ------
    ApiError
        400 if there is none of the name.
    """
    if name is None:
        return
    known = isinstance(name, str) and (
        name in BASES or platform.catalog.first(project.id, ENVIRONMENT, name=name) is not None
    )
    if not known:
        raise bad_request(f"no environment named {name!r}; there are {_known(platform, project)}")


def _known(platform: Platform, project: Project) -> str:
    own = [entity.name for entity in platform.catalog.find(project.id, ENVIRONMENT)]
    return ", ".join([*own, *BASES])


def interpreter(platform: Platform, project: Project, name: str | None) -> Interpreter:
    """Return the interpreter of an environment as it is now.

    Raises
    ------
    ApiError
        400 if there is none of the name.
    """
    check_environment(platform, project, name)
    entity = platform.catalog.first(project.id, ENVIRONMENT, name=name) if name else None
    if entity is None:
        return Interpreter(Path(sys.executable))
    overlay = overlays_folder(platform) / entity.body["revision"]
    return Interpreter(overlay / "bin" / "python", overlay)


def serving_environment(config: Mapping[str, Any], component: str) -> str | None:
    """Return the environment that a deployment's configuration names for a component.

    Parameters
    ----------
    config : mapping
        As the client sends it; a client from before environments per component names one for the predictor alone.
    component : str
        ``predictor`` or ``transformer``.
    """
    named = config.get(f"{component}Environment") or (
        config.get("environmentDTO") if component == "predictor" else None
    )
    return named.get("name") if isinstance(named, Mapping) else None
