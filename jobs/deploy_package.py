"""The code of this installation as one wheel, and the requirements it runs with.

The wheel's version ends with a hash of what is in it (``0.1.0+<hash>``), so that the same code has the same name
wherever it is built, and an installer takes changed code for what it is, another version.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import jobs

NAME = "deepcube"
_EXTRA = "all"
_LOCK = ".dist-info/extra_metadata/requirements.lock"  # in the wheel; see pyproject.toml
_EPOCH = (2020, 2, 2, 0, 0, 0)
# Written by installers, and of no meaning elsewhere.
_LOCAL_FILES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
#: A cluster is Linux on x86-64, whatever this machine is.
_CLUSTER = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==")


class PackageError(Exception):
    """The code of this installation cannot be packed; the message says why and what to do."""


@dataclass(frozen=True)
class Package:
    """What is shipped.

    Attributes
    ----------
    version : str
        Version of the wheel, with the hash of its content.
    wheel : bytes
        The wheel.
    requirements : str
        What it runs with, in pip's format: those lines of ``requirements.lock`` that the code needs.
    """

    version: str
    wheel: bytes
    requirements: str

    @property
    def file_name(self) -> str:
        """Name of the wheel's file."""
        return f"{NAME}-{self.version}-py3-none-any.whl"

    @property
    def requirements_name(self) -> str:
        """Name of the requirements' file, with a hash of what is in it."""
        return f"{NAME}-requirements-{hashlib.sha256(self.requirements.encode()).hexdigest()[:12]}.txt"


def build() -> Package:
    """Pack the code that runs now: from the checkout that it lies in, or from its installed files.

    Raises
    ------
    PackageError
        If hatchling is missing, which builds the wheel of a checkout, or files of an installation are.
    """
    root = checkout()
    files = _installed_files() if root is None else _built_files(root)
    version, wheel = pack(files)
    metadata, lock = (
        next(content for name, content in files.items() if name.endswith(end)) for end in (".dist-info/METADATA", _LOCK)
    )
    direct = direct_requirements(HeaderParser().parsestr(metadata.decode()).get_all("Requires-Dist") or [])
    return Package(version, wheel, select_locked(lock.decode(), direct))


def checkout() -> Path | None:
    """Return the root of the checkout that this code lies in, or None if it was installed."""
    root = Path(jobs.__file__).resolve().parents[1]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return None
    return root if project.get("project", {}).get("name") == NAME else None


def _built_files(root: Path) -> dict[str, bytes]:
    """Build the wheel of a checkout and return its files."""
    try:
        from hatchling.builders.wheel import WheelBuilder
    except ImportError as error:
        raise PackageError(f"the code of the checkout {root} is packed by hatchling; install it: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        (place,) = WheelBuilder(str(root)).build(directory=folder, versions=["standard"])
        with zipfile.ZipFile(place) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def _installed_files() -> dict[str, bytes]:
    distribution = importlib.metadata.distribution(NAME)
    files = {}
    for file in distribution.files or []:
        local = file.name in _LOCAL_FILES and file.parent.name.endswith(".dist-info")
        if ".." in file.parts or file.suffix == ".pyc" or local:
            continue
        try:
            files[file.as_posix()] = file.read_binary()
        except OSError as error:
            raise PackageError(f"{file} of the installed {NAME} cannot be read ({error}); install it again") from error
    if not any(name.startswith("jobs/") for name in files):
        raise PackageError(f"the installed {NAME} does not list its files; install it again, not as editable")
    return files


def pack(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Pack the files of a wheel again, with a version that ends with a hash of them.

    Parameters
    ----------
    files : mapping of str to bytes
        Content by path in the wheel.

    Returns
    -------
    version : str
        ``<version>+<hash>``.
    wheel : bytes
        The same for the same files, wherever and whenever it is packed.
    """
    (info,) = {name.split("/")[0] for name in files if name.endswith(".dist-info/METADATA")}
    plain = info.removesuffix(".dist-info").partition("-")[2].partition("+")[0]
    content: dict[str, bytes] = {}
    for name, data in sorted(files.items()):
        folder, _, rest = name.partition("/")
        if folder == info and rest in _LOCAL_FILES:
            continue
        if folder == info and rest == "METADATA":
            data = re.sub(rb"(?m)^Version: .*$", f"Version: {plain}".encode(), data, count=1)
        content[f"{NAME}.dist-info/{rest}" if folder == info else name] = data
    digest = hashlib.sha256()
    for name, data in sorted(content.items()):
        digest.update(f"{name}\n{len(data)}\n".encode() + data)
    version = f"{plain}+{digest.hexdigest()[:12]}"
    own = f"{NAME}-{version}.dist-info"
    final = {name.replace(f"{NAME}.dist-info/", f"{own}/", 1): data for name, data in content.items()}
    metadata = f"{own}/METADATA"
    final[metadata] = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), final[metadata], count=1)
    final[f"{own}/RECORD"] = _record(final, f"{own}/RECORD")
    return version, _zip(final)


def _record(files: Mapping[str, bytes], own: str) -> bytes:
    """Write the list of a wheel's files with their hashes."""
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    with tempfile.TemporaryFile() as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
        stream.seek(0)
        return stream.read()


def direct_requirements(lines: Iterable[str]) -> dict[str, set[str]]:
    """Return what the package needs by itself on a cluster, with all its parts: extras by canonical name.

    Parameters
    ----------
    lines : iterable of str
        Its ``Requires-Dist``.
    """
    extras, seen = [_EXTRA, ""], set()
    names: dict[str, set[str]] = {}
    requirements = [Requirement(line) for line in lines]
    while extras:
        extra = extras.pop()
        seen.add(extra)
        for requirement in requirements:
            if requirement.marker is not None and not requirement.marker.evaluate({**_CLUSTER, "extra": extra}):
                continue
            if canonicalize_name(requirement.name) == NAME:
                extras += [each for each in requirement.extras if each not in seen]
            else:
                names.setdefault(str(canonicalize_name(requirement.name)), set()).update(requirement.extras)
    return names


def select_locked(lock: str, direct: Iterable[str]) -> str:
    """Return the part of a lock that some packages need, hashes and all.

    Parameters
    ----------
    lock : str
        Written by ``uv pip compile``, which notes below every package which ones need it.
    direct : iterable of str
        Canonical names of the packages.
    """
    blocks: dict[str, list[str]] = {}
    needs: dict[str, set[str]] = {}
    current = ""
    for line in lock.splitlines():
        pinned = _PINNED.match(line)
        if pinned:
            current = str(canonicalize_name(pinned["name"]))
        if not current:
            continue
        if line.lstrip().startswith("#"):
            note = line.replace("# via", "#", 1).replace("#", "", 1).strip()
            if note:
                needs.setdefault(str(canonicalize_name(note.split(" ")[0])), set()).add(current)
        else:
            blocks.setdefault(current, []).append(line)
    chosen, todo = set(), list(direct)
    while todo:
        name = todo.pop()
        if name in blocks and name not in chosen:
            chosen.add(name)
            todo += needs.get(name, set())
    return "\n".join(line for name in blocks if name in chosen for line in blocks[name]) + "\n"
