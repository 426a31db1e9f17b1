"""Oblivious training beside its peers, in one run: ``python -m benchmarks.oblivious [SUITE ...]``.

- ``search``: asynchronous search with early stopping beside a bulk-synchronous one without, trials of uneven length.
- ``overhead``: milliseconds per trial that does nothing, our durable record switched on, beside Optuna.
- ``start``: what importing a worker costs, without its framework.
- ``parallel``: two ranks with one thread each beside one process with one thread (torch).
- ``memory``: what a rank of a sharded strategy holds, beside one of plain data-parallelism (torch).

Prints one JSON line per comparison; ratios below 1 are in our favour unless it says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepcube.oblivious import Strategy

TRIALS = 24
STEPS = 10
SEEDS = (1, 2, 3)
ROWS = 128
"""Of a global batch."""


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
    """Compare wall times for the same number of trials with the same seed, for some seeds."""
    space = _space(x=("DOUBLE", [0.0, 1.0]), pause=("DOUBLE", [0.005, 0.25]))
    for seed in SEEDS:
        ours, found = _run(uneven, TRIALS, space, es_min=3, seed=seed)
        bulk, other = _run(uneven, TRIALS, space, es_policy="none", synchronous=True, seed=seed)
        _print(
            "search",
            seed=seed,
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


def _patches(rows: int = 384) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 4, 64, 64, generator=generator)
    return torch.utils.data.TensorDataset(x, (x.mean((1, 2, 3)) > 0).long())


def _convolutional() -> Any:
    from deepcube.oblivious import networks

    return networks.Classifier(channels=4, width=24)


def _vectors(rows: int = 1024) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 512, generator=generator)
    return torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())


def _wide() -> Any:
    import torch

    layers = [layer for _ in range(4) for layer in (torch.nn.Linear(2048, 2048), torch.nn.ReLU())]
    return torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.ReLU(), *layers, torch.nn.Linear(2048, 2))


def _narrow() -> Any:
    import torch

    return torch.nn.Linear(512, 2)


def _fit(model: Any, dataset: Any, hparams: dict[str, Any]) -> dict[str, float]:
    """Train for some epochs; return the least wall and processor time that one took, without the first."""
    import torch

    network = model()
    optimizer = torch.optim.AdamW(network.parameters())
    loader = torch.utils.data.DataLoader(dataset, batch_size=hparams.get("rows", ROWS), shuffle=True)
    walls, works = [], []
    for _ in range(hparams["epochs"]):
        begun, worked = time.perf_counter(), time.process_time()
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        walls.append(time.perf_counter() - begun)
        works.append(time.process_time() - worked)
    return {"seconds": min(walls[1:]), "processor_s": min(works[1:])}


class Unconnected(Strategy):
    """Ranks that train a model each on their half of the rows and never speak: what the machine itself gives."""

    name = "unconnected"
    framework = "torch"

    def join(self, rank: int, addresses: Any) -> None:
        """Take the rank and one thread."""
        import torch

        torch.set_num_threads(1)
        self.rank = rank

    def wrap(self, parts: Any, seed: int) -> Any:
        """Give each rank its rows."""
        import torch

        rows = parts["dataset"]
        return {**parts, "dataset": torch.utils.data.Subset(rows, range(self.rank, len(rows), self.ranks))}


def _train(
    strategy: str | Strategy, ranks: int, model: Any, dataset: Any, hparams: dict[str, Any], folder: Path
) -> dict[str, Any]:
    from maggy.experiment import experiment

    from deepcube.oblivious import DistributedConfig

    config = DistributedConfig(
        strategy,
        ranks,
        model,
        dataset,
        hparams,
        optimization_key="seconds",
        directory=folder,
        environment={"OMP_NUM_THREADS": "1"},
    )
    found: dict[str, Any] = experiment.lagom(_fit, config)
    return found


def parallel() -> None:
    """Compare the time of an epoch: 384 patches of 4 x 64 x 64, batches of 128, a convolutional network.

    One process is measured before and after, and so are two that do not communicate, which is what the machine gives.
    """
    hparams = {"epochs": 4}

    def measure(strategy: str | Strategy, ranks: int, **more: Any) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            found = _train(strategy, ranks, _convolutional, _patches(), {**hparams, **more}, Path(folder))
        return dict(found["metrics"])

    alone = [measure("ddp", 1)]
    for strategy in ("ddp", "replicate", "zero1", "fsdp2"):
        apart = measure(Unconnected(), 2, rows=ROWS // 2)
        together = measure(strategy, 2)
        alone.append(measure("ddp", 1))
        one = {name: statistics.mean(each[name] for each in alone[-2:]) for name in together}
        _print(
            f"parallel {strategy}",
            one_process_one_thread_s=one["seconds"],
            two_ranks_one_thread_each_s=together["seconds"],
            efficiency_larger_is_better=one["seconds"] / (2 * together["seconds"]),
            efficiency_of_two_unconnected=one["seconds"] / (2 * apart["seconds"]),
            of_two_unconnected=apart["seconds"] / together["seconds"],
            of_processor_time=one["processor_s"] / (2 * together["processor_s"]),
        )


def memory() -> None:
    """Compare what a rank holds: 18 million parameters, AdamW; the peak is the process's largest resident memory.

    Most of a small training's memory is the framework, and what a strategy imports of it; so what a rank holds above
    one of the same strategy with next to no parameters is compared, too.
    """

    def held(strategy: str, model: Any) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            ranks = _train(strategy, 2, model, _vectors(), {"epochs": 2}, Path(folder))["result"]["ranks"]
        return {key: max(rank[key] for rank in ranks) for key in ranks[0]}

    whole, whole_empty = held("ddp", _wide), held("ddp", _narrow)
    for strategy in ("ddp", "zero1", "fsdp2"):
        found, empty = (whole, whole_empty) if strategy == "ddp" else (held(strategy, _wide), held(strategy, _narrow))
        _print(
            f"memory {strategy}",
            peak_mib=found["peak_mib"],
            peak_mib_above_an_empty_rank=found["peak_mib"] - empty["peak_mib"],
            peak_above_an_empty_rank_of_ddp=(found["peak_mib"] - empty["peak_mib"])
            / (whole["peak_mib"] - whole_empty["peak_mib"]),
            **{
                f"{key}_of_ddp": found[key] / whole[key]
                for key in ("peak_mib", "optimizer_elements", "parameter_elements")
            },
        )


def start() -> None:
    """Time the import of a worker, beside a Python that imports nothing."""
    times: dict[str, list[float]] = {"pass": [], "import deepcube.oblivious.worker": []}
    for _ in range(5):
        for statement, seconds in times.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            seconds.append(time.perf_counter() - begun)
    nothing, worker = (statistics.median(seconds) for seconds in times.values())
    _print("start", worker_s=worker, python_s=nothing, import_s=worker - nothing)


def _print(name: str, **figures: Any) -> None:
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"bench": name, **rounded, "load": round(os.getloadavg()[0], 1)}), flush=True)


SUITES = {"search": search, "overhead": overhead, "start": start, "parallel": parallel, "memory": memory}


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
