"""The shared object ``faults.c``, and the control block through which a test tells it what to do.

The block is a small file that the test and every process under test map. Its layout is ``struct control`` of faults.c.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")

COUNT, KILL, HALF, FAIL_ONCE, FAIL_FROM = range(5)

# armed, mode, point, counter, fired, error, only_growing, fired_pid, trace, root_length, root, trace_path
_LAYOUT = struct.Struct("=IIqqqiIiII1024s1024s")
_COUNTER_OFFSET, _FIRED_OFFSET, _FIRED_PID_OFFSET = 16, 24, 40
_SIZE = 4096


def compiler() -> str | None:
    """Return the system's C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compile the shared object into a folder and return it.

    Raises
    ------
    RuntimeError
        If the compiler refuses.
    """
    target = folder / "faults.so"
    command = [compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return target


@dataclass(frozen=True)
class Point:
    """One call that changed something on disk.

    Attributes
    ----------
    number : int
        Its count since arming, over all processes.
    pid : int
        Process that made it.
    call : str
        ``pwrite64``, ``fsync``, ``rename``, ...
    size : int
        Bytes to write; 0 for other calls.
    path : str
        What it changed, relative to the watched folder.
    """

    number: int
    pid: int
    call: str
    size: int
    path: str


class Control:
    """The control block of one watched folder.

    Parameters
    ----------
    folder : Path
        Where the block and the trace are kept; must lie outside the watched folder.
    root : Path
        The watched folder.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.path = folder / "control"
        self.root = root
        self._trace = folder / "trace"
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._descriptor, _SIZE)
        self._block = mmap.mmap(self._descriptor, _SIZE)

    def environment(self, shared_object: Path) -> dict[str, str]:
        """Return the variables that put a process under control."""
        return {"LD_PRELOAD": str(shared_object), "FAULT_CONTROL": str(self.path)}

    def arm(self, mode: int, point: int = 0, *, error: int = errno.ENOSPC, trace: bool = False) -> None:
        """Begin to count, and to do at a point what the mode says."""
        self._trace.unlink(missing_ok=True)
        root = str(self.root).encode()
        only_growing = error in (errno.ENOSPC, errno.EDQUOT)
        self._block[: _LAYOUT.size] = _LAYOUT.pack(
            0, mode, point, 0, 0, error, only_growing, 0, trace, len(root), root, str(self._trace).encode()
        )
        self._block[:4] = struct.pack("=I", 1)

    def disarm(self) -> None:
        """Stop counting and leave every call alone."""
        self._block[:4] = struct.pack("=I", 0)

    @contextmanager
    def armed(self, mode: int, point: int = 0, **options: int) -> Iterator[None]:
        """Be armed inside the block."""
        self.arm(mode, point, **options)  # type: ignore[arg-type]
        try:
            yield
        finally:
            self.disarm()

    @property
    def counter(self) -> int:
        """How many calls were counted since arming."""
        return int(struct.unpack_from("=q", self._block, _COUNTER_OFFSET)[0])

    @property
    def fired(self) -> int:
        """Count at which something was done, 0 for not yet."""
        return int(struct.unpack_from("=q", self._block, _FIRED_OFFSET)[0])

    @property
    def fired_pid(self) -> int:
        """Process in which it was done."""
        return int(struct.unpack_from("=i", self._block, _FIRED_PID_OFFSET)[0])

    def trace(self) -> list[Point]:
        """Return the calls that were counted with ``trace=True``, in order."""
        if not self._trace.exists():
            return []
        points = []
        for line in self._trace.read_text(errors="replace").splitlines():
            number, pid, call, size, path = line.split("\t", 4)
            relative = path.removeprefix(str(self.root)).lstrip("/")
            points.append(Point(int(number), int(pid), call, int(size), relative))
        return sorted(points, key=lambda point: point.number)

    def close(self) -> None:
        """Unmap the block."""
        self._block.close()
        os.close(self._descriptor)
