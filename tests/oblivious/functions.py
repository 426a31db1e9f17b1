"""Training functions of the tests, importable by worker processes."""

import os
import signal
import time
from pathlib import Path


def log_line(reporter, text):
    """Append a line to the log of all trials of a search, from the worker itself."""
    path = Path(reporter.directory).parents[1] / "executed.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def counted(hparams, reporter):
    log_line(reporter, f"{os.getpid()} {hparams['x']!r}")
    return {"loss": (hparams["x"] - 0.3) ** 2, "x": hparams["x"]}


def stepped(hparams, reporter):
    for step in range(hparams["epochs"]):
        reporter.broadcast(hparams["x"] + 1.0 / (step + 1), step)
    return {"loss": hparams["x"]}


def stepped_to_the_end(hparams, reporter):
    result = stepped(hparams, reporter)
    log_line(reporter, f"{hparams['x']!r}")
    return result


def least_squares(dataset, seed):
    """Fit a linear model to noisy targets of a half of the rows; return its error on the other half."""
    import numpy as np

    inputs, signal = dataset
    rng = np.random.default_rng(seed)
    x = inputs.to_numpy()
    y = signal + rng.normal(scale=0.3, size=len(x))
    half = len(x) // 2
    fitted, *_ = np.linalg.lstsq(x[:half], y[:half], rcond=None)
    return {"loss": float(np.sqrt(np.mean((x[half:] @ fitted - y[half:]) ** 2)))}


def slow(hparams, reporter):
    log_line(reporter, f"{hparams['x']!r}")
    time.sleep(0.05)
    log_line(reporter, f"end {hparams['x']!r}")
    return {"loss": hparams["x"]}


_CALLS = []


def brief(hparams, reporter):
    """Take next to no time; the first process that comes to its sixtieth trial dies in it."""
    log_line(reporter, f"{hparams['x']!r}")
    _CALLS.append(hparams)
    flag = Path(reporter.directory).parents[1] / "died"
    if len(_CALLS) == 60 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": hparams["x"]}


def troubled(hparams, reporter):
    """Die, hang, raise, diverge or work, as ``what`` says; what dies or hangs with ``once`` works the second time."""
    what = hparams["what"]
    log_line(reporter, what)
    first = not (reporter.directory / "seen").exists()
    (reporter.directory / "seen").touch()
    if what == "dies" or (what == "dies once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs" or (what == "hangs once" and first):
        time.sleep(600)
    if what == "raises":
        raise ValueError("a bad batch")
    return {"loss": float("nan") if what == "diverges" else 1.0}


def image_of(patch):
    """The first step of a patch of one variable, channels first, as torch wants it."""
    return patch[:, 0]
