"""Oblivious training beside its peers, in one run: ``python -m benchmarks.oblivious [search overhead parallel]``.

- ``search``: asynchronous search with early stopping beside a bulk-synchronous one without, trials of uneven length.
- ``overhead``: milliseconds per trial that does nothing, our durable record switched on, beside Optuna.
- ``parallel``: two ranks beside one process with one thread, and what each rank of a sharded strategy holds (torch).

Prints one JSON line per comparison; ratios below 1 are in our favour unless it says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRIALS = 24
STEPS = 10


def null(hparams: dict[str, Any]) -> float:
    """Return a metric at once."""
    return float(sum(hparams[f"x{i}"] for i in range(4)) + hparams["k"])


def uneven(hparams: dict[str, Any], reporter: Any) -> float:
    """Sleep for ten steps whose length is a hyperparameter; the error falls towards ``x``."""
    value = 1.0
    for step in range(STEPS):
        time.sleep(hparams["pause"])
        value = hparams["x"] + 0.5 / (step + 1)
        reporter.broadcast(value, step)
    return value


def _space(**dimensions: Any) -> Any:
    from maggy import Searchspace

    with contextlib.redirect_stdout(io.StringIO()):
        return Searchspace(**dimensions)


def _run(train_fn: Callable[..., Any], trials: int, space: Any, **options: Any) -> tuple[float, Any]:
    from maggy.experiment import experiment

    from deepcube.oblivious import SearchConfig

    with tempfile.TemporaryDirectory() as folder:
        common = {"direction": "min", "figures": False, "directory": Path(folder), "optimization_key": "loss"}
        begun = time.perf_counter()
        result = experiment.lagom(train_fn, SearchConfig(space, trials, **{**common, **options}))
        return time.perf_counter() - begun, result["result"]


def search() -> None:
    """Compare wall times for the same number of trials with the same seed."""
    space = _space(x=("DOUBLE", [0.0, 1.0]), pause=("DOUBLE", [0.005, 0.25]))
    ours, found = _run(uneven, TRIALS, space, es_min=3, seed=1)
    bulk, other = _run(uneven, TRIALS, space, es_policy="none", synchronous=True, seed=1)
    _print(
        "search",
        trials=TRIALS,
        asynchronous_s=ours,
        bulk_synchronous_s=bulk,
        ratio=ours / bulk,
        early_stopped=found["early_stopped"],
        best=[found["best_val"], other["best_val"]],
    )


def overhead() -> None:
    """Compare milliseconds per null trial, start-up taken off by the difference of two numbers of trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = _space(**{f"x{i}": ("DOUBLE", [0.0, 1.0]) for i in range(4)}, k=("INTEGER", [1, 9]))

    def objective(trial: Any) -> float:
        return float(sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(4)) + trial.suggest_int("k", 1, 9))

    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    for name, few, many in (("random", 100, 1100), ("tpe", 20, 320)):
        walls = [_run(null, trials, space, optimizer=name, es_policy="none")[0] for trials in (few, many)]
        ours = (walls[1] - walls[0]) / (many - few) * 1e3
        study = optuna.create_study(sampler=samplers[name](seed=0))
        begun = time.perf_counter()
        study.optimize(objective, n_trials=many)
        theirs = (time.perf_counter() - begun) / many * 1e3
        _print(
            f"overhead {name}", ours_ms=ours, optuna_in_memory_ms=theirs, ratio=ours / theirs, first_trials_s=walls[0]
        )


def _dense(rows: int = 4096) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 256, generator=generator)
    return torch.utils.data.TensorDataset(x, x[:, :1])


def _wide() -> Any:
    import torch

    layers = [torch.nn.Linear(256, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 1024), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(1024, 1))


def _fit(model: Any, dataset: Any, hparams: dict[str, Any], reporter: Any) -> dict[str, float]:
    """Train for some epochs and return the time that they took, without the first."""
    import torch

    network = model()
    optimizer = torch.optim.AdamW(network.parameters())
    loader = torch.utils.data.DataLoader(dataset, batch_size=512, shuffle=True)
    times = []
    for _ in range(hparams["epochs"]):
        begun = time.perf_counter()
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(x), y).backward()
            optimizer.step()
        times.append(time.perf_counter() - begun)
    return {"seconds": sorted(times[1:])[len(times[1:]) // 2]}


def parallel() -> None:
    """Compare the time of an epoch, one thread per process, and the memory of each rank."""
    if importlib.util.find_spec("torch") is None:
        _print("parallel", left_out="torch is not installed")
        return
    from maggy.experiment import experiment

    from deepcube.oblivious import DistributedConfig

    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = {
            "model": _wide,
            "dataset": _dense(),
            "hparams": {"epochs": 6},
            "optimization_key": "seconds",
            "directory": Path(folder),
            "environment": {"OMP_NUM_THREADS": "1"},
        }
        alone = experiment.lagom(_fit, DistributedConfig("ddp", 1, **common))["metric"]
        for strategy in ("ddp", "zero1", "fsdp2"):
            result = experiment.lagom(_fit, DistributedConfig(strategy, 2, **common))
            _print(
                f"parallel {strategy}",
                one_process_s=alone,
                two_ranks_s=result["metric"],
                efficiency_larger_is_better=alone / (2 * result["metric"]),
                ranks=result["result"]["ranks"],
            )


def _print(name: str, **figures: Any) -> None:
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"bench": name, **rounded, "load": round(os.getloadavg()[0], 1)}), flush=True)


SUITES = {"search": search, "overhead": overhead, "parallel": parallel}


def main() -> None:
    """Run the suites that are named, by default all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    chosen = parser.parse_args().suites or list(SUITES)
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    for name in chosen:
        SUITES[name]()


if __name__ == "__main__":
    main()
