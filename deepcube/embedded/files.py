"""The project file system: what a cluster keeps in HopsFS, here a folder per project."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from deepcube.embedded.errors import (
    DATASET_NOT_FOUND,
    PATH_NOT_FOUND,
    PATH_OUTSIDE_PROJECT,
    ApiError,
    bad_request,
    not_found,
)

_LONGEST_NAME, _LONGEST_PATH = 255, 2000  # bytes of a name on any usual file system; well below PATH_MAX
_SCHEME = re.compile(r"^(hopsfs|hdfs):(//[^/]*)?")


class Files:
    """Paths as the client writes them, to places on this machine's disk, never outside the project's folder.

    Parameters
    ----------
    root : Path
        Folder that stands for the root of the file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def project_folder(self, project: str) -> Path:
        """Return the folder of a project."""
        return self.root / "Projects" / project

    def create_project(self, project: str) -> None:
        """Make the folders ("datasets") that every Hopsworks project has."""
        for dataset in (
            "Models",
            "Deployments",
            "Jupyter",
            "Logs",
            "Resources",
            "Statistics",
            f"{project}_Training_Datasets",
            f"{project}_featurestore.db",
        ):
            (self.project_folder(project) / dataset).mkdir(parents=True, exist_ok=True)

    def resolve(self, project: str, path: str) -> Path:
        """Turn a path of the client into a place on disk.

        Parameters
        ----------
        project : str
            Project whose folder relative paths start from and that no path may leave.
        path : str
            ``Resources/x``, ``/Projects/<project>/Resources/x``, either with an ``hdfs://`` or ``hopsfs://`` scheme,
            or a place on disk inside the project's folder, as feature groups carry it.

        Raises
        ------
        ApiError
            If the path, with symbolic links followed, lies outside the project's folder, or can be no path.
        """
        if len(path) > _LONGEST_PATH or any(
            len(name.encode(errors="replace")) > _LONGEST_NAME for name in path.split("/")
        ):
            raise bad_request(f"{path[:80]!r}... is longer than a path can be", PATH_NOT_FOUND)
        try:
            return self._resolve(project, path)
        except (OSError, RuntimeError) as error:  # links go round in circles
            raise bad_request(f"{path!r} cannot be a path: {error}", PATH_NOT_FOUND) from None

    def _resolve(self, project: str, path: str) -> Path:
        plain = _SCHEME.sub("", path)
        base = self.project_folder(project)
        if plain.startswith(str(self.root)):
            place = Path(plain)
        elif plain.lstrip("/").startswith("Projects/"):
            place = self.root / plain.lstrip("/")
        else:
            place = base / plain.lstrip("/")
        if "\0" in plain or not (resolved := place.resolve()).is_relative_to(base):
            raise ApiError(
                403, PATH_OUTSIDE_PROJECT, f"{path!r} is outside project {project!r}; name a path inside its datasets"
            )
        return resolved

    def existing(self, project: str, path: str) -> Path:
        """Return :meth:`resolve` of a path that must exist.

        Raises
        ------
        ApiError
            If it does not exist or lies outside the project's folder.
        """
        place = self.resolve(project, path)
        if not place.exists():
            code = PATH_NOT_FOUND if place.parent.exists() else DATASET_NOT_FOUND
            raise not_found(f"no such file or folder in project {project!r}: {path}", code)
        return place

    def public(self, place: Path) -> str:
        """Return the path by which the client knows a place on disk."""
        return "/" + str(place.relative_to(self.root))

    def remove(self, place: Path) -> None:
        """Remove a file, or a folder with everything in it; what is already gone is fine.

        A folder is renamed first, so that a crash in the middle never leaves half of it under its name.
        """
        if place.is_dir():
            doomed = place.with_name(f".removed-{place.name}")
            shutil.rmtree(doomed, ignore_errors=True)
            place.rename(doomed)
            shutil.rmtree(doomed)
        else:
            place.unlink(missing_ok=True)
