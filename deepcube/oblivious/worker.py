"""A worker process: connects to its experiment, runs the training function as often as it is told, and reports.

Started by a launcher as ``python -m deepcube.oblivious.worker FOLDER NUMBER``. Imports NumPy and the standard library;
a framework comes only with the training function or the strategy.
"""

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maggy.core.exceptions import EarlyStopException

from deepcube.oblivious.calling import OFFERED, read_result, source_hash, wanted_names
from deepcube.oblivious.channel import Channel, Message
from deepcube.oblivious.errors import DivergedError, ObliviousError
from deepcube.oblivious.reporter import Reporter, Step
from deepcube.oblivious.shipping import Job, unpack
from deepcube.oblivious.strategies import Strategy

_LONGEST_TRACEBACK = 60_000


def offered(parts: Mapping[str, Any], hparams: Mapping[str, Any], reporter: Reporter, seed: int) -> dict[str, Any]:
    """Return the arguments that a training function may ask for.

    Parameters
    ----------
    parts : mapping of str to Any
        ``model`` and ``dataset``.
    hparams : mapping of str to Any
        Hyperparameters.
    reporter : Reporter
        The reporter.
    seed : int
        Seed of the run.
    """
    return {
        "hparams": dict(hparams),
        "model": parts["model"],
        "module": parts["model"],
        "dataset": parts["dataset"],
        "reporter": reporter,
        "seed": seed,
    }


def run_trial(channel: Channel, parts: Mapping[str, Any], order: Message) -> Message:
    """Run the training function once and return the message that says how it ended.

    Parameters
    ----------
    channel : Channel
        To the experiment.
    parts : mapping of str to Any
        ``train_fn`` and ``names``, those of its arguments, ``model``, ``dataset``, ``strategy``, ``metric`` (its name),
        and ``leave_out`` for an ablation.
    order : dict
        ``id``, ``hparams``, ``seed``, ``directory``, ``wait``: whether each step is answered, and ``without``: the
        component to leave out, if any.
    """
    strategy = parts["strategy"]
    begun = time.perf_counter()

    def tell(step: Step) -> bool:
        channel.send(
            {"kind": "step", "id": order["id"], "step": step.step, "metric": step.metric, "metrics": step.metrics}
        )
        return bool(order["wait"]) and channel.receive()["kind"] == "halt"

    directory = Path(order["directory"])
    try:
        if order.get("without") is not None:
            parts = parts["leave_out"](parts, order["without"])
        strategy.seed(order["seed"])
        checkpoints = strategy.checkpoints(Path(order.get("common", directory)))
        reporter = Reporter(directory, (tell,), rank=strategy.rank, reduce=strategy.reduce, checkpoints=checkpoints)
        arguments = offered(strategy.wrap(parts, order["seed"]), order["hparams"], reporter, order["seed"])
        try:
            returned, stopped = parts["train_fn"](**{name: arguments[name] for name in parts["names"]}), False
        except EarlyStopException as stop:
            returned, stopped = stop.metric, True
        result = read_result(returned, parts["metric"])
        metrics = {name: strategy.reduce(value) for name, value in result.metrics.items()}
    except Exception as error:
        return {
            "kind": "error",
            "id": order["id"],
            "type": type(error).__name__,
            "message": str(error)[:2000],
            "traceback": traceback.format_exc()[-_LONGEST_TRACEBACK:],
            # What is wrong with the function itself is wrong in every trial.
            "fatal": isinstance(error, ObliviousError) and not isinstance(error, DivergedError),
        }
    return {
        "kind": "done",
        "id": order["id"],
        "metric": metrics[parts["metric"]],
        "metrics": metrics,
        "stopped": stopped,
        "seconds": time.perf_counter() - begun,
        "stats": strategy.stats(),
    }


def work(channel: Channel, payload: bytes, number: int) -> Strategy | None:
    """Follow the experiment's orders until it says stop; return what to leave then, None if nothing was begun."""
    try:
        parts = unpack(payload)
        parts["names"] = wanted_names(parts["train_fn"], OFFERED)
        host, port = _reserve()
        channel.send({"kind": "ready", "host": host, "port": port, "sha256": source_hash(parts["train_fn"])})
        order = channel.receive()
        if order["kind"] == "begin":
            parts["strategy"].join(number, order["addresses"])
            channel.send({"kind": "joined"})
            order = channel.receive()
    except Exception as error:
        channel.send(
            {
                "kind": "broken",
                "type": type(error).__name__,
                "message": str(error)[:2000],
                "traceback": traceback.format_exc()[-_LONGEST_TRACEBACK:],
            }
        )
        return None
    while order["kind"] == "trial":
        channel.send(run_trial(channel, parts, order))
        sys.stdout.flush()
        order = channel.receive()
    strategy: Strategy = parts["strategy"]
    return strategy


def _reserve() -> tuple[str, int]:
    """Return this machine's address as the other workers see it, and a port that is free now."""
    host = os.environ.get("DEEPCUBE_WORKER_HOST", "127.0.0.1")
    with socket.create_server((host, 0)) as probe:
        return host, int(probe.getsockname()[1])


def _end_with(condition: Callable[[], bool]) -> None:
    """End this process soon after a condition has come true, whatever it is doing."""

    def watch() -> None:
        while not condition():
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def main(folder: str, number: str) -> None:
    """Run a worker.

    Parameters
    ----------
    folder : str
        Folder of the job.
    number : str
        Number of this worker; ``"-"`` for the one in ``$RANK``.
    """
    parent = os.getppid()
    _end_with(lambda: os.getppid() != parent)
    job = Job.read(Path(folder))
    own = int(os.environ["RANK"] if number == "-" else number)
    channel = Channel(job.host, job.port, job.secret, own)
    finished = threading.Event()
    # The experiment is gone, or has given this worker up.
    _end_with(lambda: not finished.is_set() and channel.lost())
    strategy = work(channel, job.payload, own)
    finished.set()
    if strategy:
        strategy.leave()
    channel.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
