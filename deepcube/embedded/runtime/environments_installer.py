"""What is to be installed, and the commands that do it: pip, or uv where there is no pip.

What an environment sees already is not installed again: a wheel's and a file's requirements are compared with the
packages that are there, and the rest goes to the installer. A file in which every requirement carries hashes is a
lock: it is complete, so nothing beyond it is resolved (which also keeps what it overrides).
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deepcube.embedded.errors import EmbeddedError

_HASH = re.compile(r"\s--hash[= ]\S+")
_COMMENT = re.compile(r"(^|\s)#.*$")
_METADATA_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """What a requirements file asks for.

    Attributes
    ----------
    options : list of str
        Lines that are options of the installer, such as an index.
    missing : list of str
        Requirements, with their hashes, that the packages that are there do not satisfy.
    satisfied : int
        How many they do.
    locked : bool
        Whether every requirement carries hashes.
    """

    options: list[str]
    missing: list[str]
    satisfied: int
    locked: bool

    @property
    def text(self) -> str:
        """A requirements file of what is missing."""
        return "\n".join([*self.options, *self.missing]) + "\n"


def read_requirements(text: str, installed: Mapping[str, str]) -> Wanted:
    """Read a requirements file.

    Parameters
    ----------
    text : str
        Its content, in pip's format.
    installed : mapping of str to str
        Versions by canonical name.
    """
    options, missing, satisfied, hashed = [], [], 0, []
    for line in _logical_lines(text):
        if line.startswith("-"):
            options.append(line)
            continue
        hashed.append(bool(_HASH.search(line)))
        if _is_satisfied(_HASH.sub("", line).strip(), installed):
            satisfied += 1
        else:
            missing.append(line)
    return Wanted(options, missing, satisfied, bool(hashed) and all(hashed))


def _logical_lines(text: str) -> Iterable[str]:
    """Yield the lines of a file without comments, those that end with a backslash joined with the next."""
    joined = ""
    for line in text.splitlines():
        plain = _COMMENT.sub("", line).rstrip()
        joined += plain.removesuffix("\\")
        if not plain.endswith("\\"):
            if joined.strip():
                yield joined.strip()
            joined = ""
    if joined.strip():
        yield joined.strip()


def _is_satisfied(text: str, installed: Mapping[str, str]) -> bool:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False  # a path or an address: for the installer to judge
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    version = installed.get(canonicalize_name(requirement.name))
    if requirement.url is not None or version is None:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def requirements_of(wheel: Path) -> list[str]:
    """Return what a wheel requires, its extras left aside.

    Raises
    ------
    EmbeddedError
        If the file is no wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            with archive.open(name) as stream:
                content = stream.read(_METADATA_BYTES)
        found = HeaderParser().parsestr(content.decode()).get_all("Requires-Dist") or []
        wanted = [Requirement(str(line)) for line in found]
    except (zipfile.BadZipFile, OSError, ValueError, InvalidRequirement) as error:
        raise EmbeddedError(f"{wheel.name} is no wheel that can be read: {error}") from error
    return [str(each) for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]


class Installer:
    """The program that installs into an overlay.

    Parameters
    ----------
    python : Path
        The overlay's ``python``.

    Raises
    ------
    EmbeddedError
        If there is none.
    """

    def __init__(self, python: Path) -> None:
        self._python = str(python)
        self._uv: str | None = None
        self._pip: list[str] = []
        bundled = _bundled_pip()
        if importlib.util.find_spec("pip") is not None:
            self._pip = [self._python, "-m", "pip"]
        elif bundled is not None:
            self._pip = [self._python, str(bundled / "pip")]
        else:
            self._uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
            if self._uv is None:
                raise EmbeddedError("there is neither pip nor uv to install with; install pip beside the server")

    def wheel(self, wheel: Path) -> list[str]:
        """Return the command that installs a wheel and nothing else, in place of any version that is there."""
        options = ["--no-deps", "--no-index"]
        if self._uv:
            return [*self._install(), *options, "--reinstall", str(wheel)]
        return [*self._install(), *options, "--force-reinstall", str(wheel)]

    def requirements(self, file: Path, *, locked: bool) -> list[str]:
        """Return the command that installs what a file asks for; of a lock, exactly that."""
        return [*self._install(), *(["--no-deps", "--require-hashes"] if locked else []), "-r", str(file)]

    def removal(self, package: str) -> list[str]:
        """Return the command that removes a package."""
        if self._uv:
            return [self._uv, "pip", "uninstall", "--python", self._python, package]
        return [*self._pip, "--disable-pip-version-check", "--no-input", "uninstall", "--yes", package]

    def _install(self) -> list[str]:
        if self._uv:
            return [self._uv, "pip", "install", "--no-progress", "--python", self._python]
        quiet = ["--no-input", "--disable-pip-version-check"]
        return [*self._pip, *quiet, "install", "--progress-bar", "off", "--no-warn-script-location"]


def _bundled_pip() -> Path | None:
    """Return the pip that comes with Python for new virtual environments, if it does."""
    package = importlib.util.find_spec("ensurepip")  # some systems have it in a package of its own
    if package is None or package.origin is None:
        return None
    folder = sysconfig.get_config_var("WHEEL_PKG_DIR") or Path(package.origin).with_name("_bundled")
    return next(iter(sorted(Path(folder).glob("pip-*.whl"), reverse=True)), None)
