"""Processes that answer queries, so that one that runs too long, or needs too much, is ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcube.semantics.errors import SemanticsError

if TYPE_CHECKING:
    from deepcube.semantics.results import Answer

_GRACE = 1.0
_START = 120.0
_OVER = "The query took longer than it may and was stopped. Restrict it in time or place, or allow it more time."
_TEXT = 64 * 1024


@dataclass(frozen=True)
class EngineConfig:
    """What the workers of an endpoint ask.

    Attributes
    ----------
    cubes : tuple of (str, str or None)
        Paths of cubes and of their mappings.
    store : str or None
        Folder of linked data.
    data : tuple of str
        Files of linked data that are read into memory.
    cells : int
        Values of cubes that a query may read.
    stated_first : bool
        As :class:`deepcube.semantics.SemanticCube` has it.
    memory : int
        Bytes of address space that a worker may use beyond what it needs to start; 0 for no bound.
    """

    cubes: tuple[tuple[str, str | None], ...] = ()
    store: str | None = None
    data: tuple[str, ...] = ()
    cells: int = 100_000_000
    stated_first: bool = False
    memory: int = 0


@dataclass(frozen=True)
class _Question:
    text: str
    forms: dict[str, str]
    seconds: float
    rows: int
    explain: bool


def open_engine(config: EngineConfig) -> Any:
    """Return the :class:`deepcube.semantics.SemanticCube` of a configuration."""
    from deepcube.semantics import CubeSource, SemanticCube, VectorStore
    from deepcube.semantics.loading import load_file

    vector = VectorStore(Path(config.store), read_only=True) if config.store else VectorStore()
    if config.data:
        vector = vector.copied()
        for path in config.data:
            vector.add(load_file(Path(path)))
    sources = [CubeSource(path, mapping) for path, mapping in config.cubes]
    return SemanticCube(sources, vector, config.stated_first)


class WorkerPool:
    """Workers that answer one query each at a time.

    Parameters
    ----------
    config : EngineConfig
        What they ask.
    size : int
        Number of workers.
    """

    def __init__(self, config: EngineConfig, size: int = 1) -> None:
        self._config = config
        self._free: list[_Worker] = [_Worker(config) for _ in range(size)]
        self._all = list(self._free)
        self._waiting = asyncio.Semaphore(size)
        self._closed = False

    def close(self) -> None:
        """End all workers."""
        self._closed = True
        for worker in self._all:
            worker.end()

    async def ask(
        self, text: str, forms: dict[str, str], seconds: float, rows: int, explain: bool
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the parts of an answer: first its media type, then text; or an error.

        Parameters
        ----------
        text : str
            The query.
        forms : dict of str to str
            Form of a ``table`` and of a ``graph``.
        seconds : float
            Time until the worker is ended.
        rows : int
            Solutions or triples that the answer may have.
        explain : bool
            Whether only the plan is wanted.
        """
        async with self._waiting:
            worker = self._free.pop()
            clean = False
            try:
                await asyncio.to_thread(worker.start)  # not on the time of the query
                deadline = asyncio.get_running_loop().time() + seconds + _GRACE
                worker.send(_Question(text, forms, seconds, rows, explain))
                while True:
                    left = deadline - asyncio.get_running_loop().time()
                    part = await asyncio.to_thread(worker.receive, left)
                    if part["kind"] == "ready":  # of a worker that took longer to start than was waited for
                        continue
                    if part["kind"] == "end":
                        clean = True
                        return
                    if part["kind"] == "error":
                        clean = not part.get("fatal", False)
                        yield part
                        return
                    yield part
            finally:
                if not clean:  # out of time, or the client left: what it does is of no use to anyone
                    worker.end()
                    self._all.remove(worker)
                    worker = _Worker(self._config)
                    if not self._closed:
                        self._all.append(worker)
                self._free.append(worker)


class _Worker:
    """One process, started at its first question."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._process: Any = None
        self._pipe: Any = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process if there is none, and wait until it has opened its cubes and linked data."""
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(self._config, theirs), daemon=True)
        self._process.start()
        theirs.close()
        with contextlib.suppress(EOFError, OSError):  # what it died of is told by the question that follows
            if self._pipe.poll(_START):
                self._pipe.recv()

    def send(self, question: _Question) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(question)

    def receive(self, seconds: float) -> dict[str, Any]:
        try:
            if self._pipe.poll(max(0.0, seconds)):
                return dict(self._pipe.recv())
        except (EOFError, OSError):
            message = "The process that answered ended, most likely for lack of memory; ask for less."
            return _error("UnboundedQueryError", message, True)
        return _error("QueryStoppedError", _OVER, True)

    def end(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._pipe.close()
                self._process = None


def _error(name: str, message: str, fatal: bool = False) -> dict[str, Any]:
    return {"kind": "error", "error": name, "message": message, "fatal": fatal}


def _work(config: EngineConfig, pipe: Any) -> None:
    """Answer questions from a pipe until it closes."""
    engine, failure = None, None
    try:
        engine = open_engine(config)
    except Exception as error:  # told to whoever asks
        failure = _error("UnavailableError", f"Nothing can be asked: {type(error).__name__}: {error}")
    pipe.send({"kind": "ready"})
    if config.memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + config.memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while True:
        try:
            question = pipe.recv()
        except (EOFError, OSError):
            return
        if failure is not None or engine is None:
            pipe.send(failure)
            continue
        began = time.monotonic()
        try:
            for part in _parts(engine, config, question):
                pipe.send(part)
            pipe.send({"kind": "end"})
        except (BrokenPipeError, EOFError):
            return
        except MemoryError:
            pipe.send(_error("UnboundedQueryError", "The query needs more memory than it may use.", True))
        except Exception as error:  # every error of a query is an answer, not the end of the worker
            if not isinstance(error, SemanticsError) and time.monotonic() - began >= question.seconds:
                pipe.send(_error("QueryStoppedError", _OVER))  # what a library makes of being interrupted
                continue
            line, column = getattr(error, "line", None), getattr(error, "column", None)
            pipe.send(_error(type(error).__name__, str(error)) | {"line": line, "column": column})


def _parts(engine: Any, config: EngineConfig, question: _Question) -> Iterator[dict[str, Any]]:
    from deepcube.semantics import GRAPH_FORMATS, TABLE_FORMATS, Limits, write_triples

    limits = Limits(cells=config.cells, seconds=question.seconds)
    answer: Answer = engine.query(question.text, limits, explain=question.explain)
    if question.explain:
        for _ in answer.triples if answer.triples is not None else answer.rows:
            pass
        yield {"kind": "head", "media": "text/plain; charset=utf-8"}
        yield {"kind": "text", "text": answer.plan.text() + "\n"}
        return
    if answer.triples is not None:
        media, texts = GRAPH_FORMATS[question.forms["graph"]][0], None
        texts = write_triples(_bounded(answer.triples, question.rows), question.forms["graph"])
    else:
        answer.rows = _bounded(answer.rows, question.rows)
        media, writer = TABLE_FORMATS[question.forms["table"]]
        texts = writer(answer)
    held: list[str] = []
    size, begun = 0, False
    for text in texts:
        held.append(text)
        size += len(text)
        if size > _TEXT:
            if not begun:
                yield {"kind": "head", "media": media}
            begun = True
            yield {"kind": "text", "text": "".join(held)}
            held, size = [], 0
    if not begun:
        yield {"kind": "head", "media": media}
    yield {"kind": "text", "text": "".join(held)}


def _bounded(items: Iterator[Any], most: int) -> Iterator[Any]:
    from deepcube.semantics import UnboundedQueryError

    for number, item in enumerate(items):
        if number >= most:
            raise UnboundedQueryError(
                f"The answer has more than {most:,} rows; add a LIMIT or ask from the command line.", 0
            )
        yield item
