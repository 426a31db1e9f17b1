"""Overlays on disk: virtual environments that see the server's packages behind their own."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from deepcube.embedded.home import sync_folder
from deepcube.embedded.runtime.trees import flush

# Files are read in the order of their names: what the overlay itself links to comes before the server's packages.
_LINK = "zzz_server.pth"
_SMALL = 64 * 1024


def server_sites() -> list[str]:
    """Return the folders of packages that this server's interpreter uses, in order."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def site_of(overlay: Path) -> Path:
    """Return the folder of an overlay's own packages."""
    places = {"base": str(overlay), "platbase": str(overlay)}
    return Path(sysconfig.get_path("purelib", "venv", vars=places))


def make_overlay(folder: Path, previous: Path | None) -> None:
    """Make an overlay: an empty one, or one with all that another one has.

    Files are shared with the other one by hard links: installers replace files, they do not write into them.

    Parameters
    ----------
    folder : Path
        Where; does not exist.
    previous : Path or None
        The other one.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = site_of(folder)
    lines = [f"import site; site.addsitedir({path!r})" for path in server_sites()]
    (site / _LINK).write_text("\n".join(lines) + "\n")
    if previous is not None:
        _take_over(previous, folder)


def _take_over(previous: Path, folder: Path) -> None:
    for source in sorted(previous.rglob("*")):
        target = folder / source.relative_to(previous)
        if target.exists() or target.is_symlink():
            continue
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True)
        elif source.parent == previous / "bin" and _names(source, previous):
            target.write_bytes(source.read_bytes().replace(os.fsencode(previous), os.fsencode(folder)))
            shutil.copymode(source, target)
        else:
            os.link(source, target, follow_symlinks=False)


def _names(script: Path, overlay: Path) -> bool:
    """Tell whether a script names the overlay that it lies in, as the ones that start a Python program do."""
    if script.is_symlink() or script.stat().st_size > _SMALL:
        return False
    return os.fsencode(overlay) in script.read_bytes()


def make_durable(overlay: Path) -> None:
    """Have the disk hold what an overlay does not share with another one."""
    for folder, _, names in os.walk(overlay):
        new = [place for name in names if not (place := Path(folder, name)).is_symlink() and place.stat().st_nlink == 1]
        for place in new:
            flush(place)
        sync_folder(Path(folder))
    sync_folder(overlay.parent)


@dataclass(frozen=True)
class Installed:
    """A package that programs see.

    Attributes
    ----------
    name, version : str
        As the package has them.
    preinstalled : bool
        Whether it comes with the server.
    """

    name: str
    version: str
    preinstalled: bool


def packages(overlay: Path | None) -> list[Installed]:
    """Return the packages that programs see, ordered by name.

    Parameters
    ----------
    overlay : Path or None
        Overlay whose packages hide the server's of the same name; None for the server's alone.
    """
    found: dict[str, Installed] = {}
    layers = [] if overlay is None else [(str(site_of(overlay)), False)]
    for path, preinstalled in [*layers, *((site, True) for site in server_sites())]:
        for name, version in _listed(path, Path(path).stat().st_mtime_ns):
            found.setdefault(canonical(name), Installed(name, version, preinstalled))
    return [found[name] for name in sorted(found)]


@lru_cache(maxsize=64)
def _listed(path: str, changed: int) -> tuple[tuple[str, str], ...]:
    """Read the packages of a folder; again only when it has changed, as there are hundreds of files to read."""
    return tuple((item.metadata["Name"], item.version) for item in distributions(path=[path]) if item.metadata["Name"])


def canonical(name: str) -> str:
    """Return the name of a package as it is compared (PEP 503)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
