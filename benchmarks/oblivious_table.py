"""Whether every mode of oblivious training runs, on every framework and launcher, and equals a single process.

``python -m benchmarks.oblivious_table [LAUNCHER ...]`` trains each of them for a moment on simulated data and prints a
table in Markdown. *equal* means: all losses are those of the same training function in a single process with the same
seed, to a relative tolerance of 1e-5 (sums of 32-bit floats in another order).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import oblivious_lessons as lessons

TOLERANCE = 1e-5
EQUAL = "equal"
LAUNCHERS = ("local", "torchrun", "spark", "ray")
FRAMEWORKS = {"torch": "torch", "tensorflow": "Keras on TensorFlow", "jax": "Keras on JAX"}
STRATEGIES = {
    "torch": ("ddp", "replicate", "zero1", "fsdp2"),
    "tensorflow": ("mirrored",),
    "jax": ("jax-data", "jax-model"),
}
NOT_OFFERED = {
    ("sharded (ZeRO-1, FSDP2)", "tensorflow"): "TensorFlow has no sharded optimizer for Keras 3",
    ("sharded (ZeRO-1, FSDP2)", "jax"): "model-parallel divides parameters and optimizer state",
    ("model-parallel", "torch"): "tensor parallelism aborts now and then, cause not known; FSDP2 divides parameters",
    ("model-parallel", "tensorflow"): "keras.distribution works on JAX only",
}
"""Why a mode is missing in a framework, whatever the launcher."""

UNITS = (8, 12)
FEATURE = "x0"
SEEDS = (3, 4)
SEED = 3

Verdicts = dict[tuple[str, str], str]
"""Verdict by mode and framework."""


def parts_of(framework: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the training function of a framework, and what it is given."""
    if framework == "torch":
        return lessons.torch_lesson, {"model": lessons.torch_model, "dataset": lessons.torch_data()}
    return lessons.keras_lesson, {"model": lessons.keras_model, "dataset": lessons.keras_data()}


def supervised_of(framework: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the supervised training function alone, for trials."""
    train_fn = lessons.torch_supervised if framework == "torch" else lessons.keras_supervised
    model = lessons.torch_model if framework == "torch" else lessons.keras_model
    return train_fn, {"model": model, "dataset": lessons.supervised_data()}


def backend(framework: str) -> dict[str, str]:
    """Return the environment variables of a framework's processes."""
    return {} if framework == "torch" else {"KERAS_BACKEND": framework, "TF_CPP_MIN_LOG_LEVEL": "3"}


def single(framework: str, folder: Path) -> dict[str, dict[str, float]]:
    """Train in this process, as ``single``, what the other modes train; return the losses of each."""
    from maggy.experiment import experiment

    from deepcube.oblivious import SingleRunConfig

    def metrics(train_fn: Any, parts: Mapping[str, Any], seed: int = SEED, **hparams: Any) -> dict[str, float]:
        config = SingleRunConfig(hparams=hparams, optimization_key="loss", seed=seed, directory=folder, **parts)
        found: dict[str, float] = experiment.lagom(train_fn, config)["metrics"]
        return found

    train_fn, parts = supervised_of(framework)
    without = {**parts, "dataset": lessons.without_feature(parts["dataset"], FEATURE)}
    return {
        "whole": metrics(*parts_of(framework)),
        **{f"units={units}": metrics(train_fn, parts, units=units) for units in UNITS},
        **{f"base {seed}": metrics(train_fn, parts, seed) for seed in SEEDS},
        **{f"{FEATURE} {seed}": metrics(train_fn, without, seed) for seed in SEEDS},
    }


def references(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return :func:`single` of every framework, each in a process of its own: Keras has one backend per process."""
    found = {}
    for framework in FRAMEWORKS:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--single", framework, str(folder)],
            env={**os.environ, **backend(framework)},
            cwd=Path(__file__).parents[1],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found[framework] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_launcher(name: str) -> Any:
    """Return a launcher by its name; Ray is started once for all of its cells."""
    from deepcube.oblivious import LocalLauncher
    from deepcube.oblivious.cluster_launchers import RayLauncher, SparkLauncher, TorchrunLauncher

    if name == "ray":
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            ignore_reinit_error=True,
        )
    return {"local": LocalLauncher, "torchrun": TorchrunLauncher, "spark": SparkLauncher, "ray": RayLauncher}[name]()


def verdict(found: Mapping[str, float], expected: Mapping[str, float]) -> str:
    """Return ``"equal"``, or by how much the worst loss differs."""
    worst = max(abs(found[name] - value) / max(abs(value), 1e-12) for name, value in expected.items())
    return EQUAL if worst <= TOLERANCE else f"differs by {worst:.1e}"


def distribute(
    framework: str, strategy: str, launcher: Any, reference: Mapping[str, float], folder: Path
) -> dict[str, str]:
    """Train on two ranks; return a verdict for each kind of learning."""
    from maggy.experiment import experiment

    from deepcube.oblivious import DistributedConfig

    train_fn, parts = parts_of(framework)
    options: dict[str, Any] = {"optimization_key": "loss", "seed": SEED, "directory": folder}
    try:
        result = experiment.lagom(
            train_fn,
            DistributedConfig(strategy, 2, launcher=launcher, environment=backend(framework), **options, **parts),
        )
    except Exception as error:
        return dict.fromkeys(lessons.LEARNING, f"fails: {str(error).strip().splitlines()[0][:90]}")
    return {kind: verdict({kind: result["metrics"][kind]}, {kind: reference[kind]}) for kind in lessons.LEARNING}


def try_trials(framework: str, launcher: Any, reference: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Search and ablate; return a verdict for each."""
    from deepcube.oblivious import AblationConfig, SearchConfig
    from deepcube.oblivious.suggesting import quiet_space

    train_fn, parts = supervised_of(framework)
    common: dict[str, Any] = {
        **parts,
        "optimization_key": "loss",
        "direction": "min",
        "directory": folder,
        "launcher": launcher,
        "workers": 2 if launcher.name == "local" else 1,  # for speed: ranks are two on every launcher
        "environment": backend(framework),
        "figures": False,
    }
    space = quiet_space({"units": ("DISCRETE", list(UNITS))})
    search = SearchConfig(space, len(UNITS), "grid", seed=SEED, **common)
    ablation = AblationConfig([FEATURE], leave_out_feature=lessons.without_feature, seeds=SEEDS, **common)
    return {
        "search": _verdict_of_trials(train_fn, search, lambda h: f"units={h['units']}", reference),
        "ablation": _verdict_of_trials(
            train_fn, ablation, lambda h: f"{h['without'] or 'base'} {h['seed']}", reference
        ),
    }


def _verdict_of_trials(train_fn: Any, config: Any, name: Callable[[Any], str], reference: Mapping[str, Any]) -> str:
    from maggy.experiment import experiment

    try:
        trials = experiment.lagom(train_fn, config)["result"]["trials"]
    except Exception as error:
        return f"fails: {str(error).strip().splitlines()[0][:90]}"
    found = {name(trial["hparams"]): trial["metric"] for trial in trials}
    if None in found.values():
        return f"fails: {next(trial['error'] for trial in trials if trial['error']).strip().splitlines()[-1][:90]}"
    return verdict(found, {key: reference[key]["loss"] for key in found})


def try_launcher(
    name: str,
    reference: Mapping[str, Any],
    folder: Path,
    frameworks: Sequence[str] = tuple(FRAMEWORKS),
    tell: Callable[[str], None] = lambda line: None,
) -> Verdicts:
    """Run every mode of every framework on one launcher.

    Parameters
    ----------
    name : str
        One of :data:`LAUNCHERS`.
    reference : mapping
        What :func:`references` returned.
    folder : pathlib.Path
        Where runs are recorded.
    frameworks : sequence of str
        Which frameworks.
    tell : callable
        Told every verdict as it is found.

    Returns
    -------
    dict
        A verdict by mode and framework.
    """
    launcher = make_launcher(name)
    found: Verdicts = {}

    def note(verdicts: Mapping[str, str], framework: str) -> None:
        for mode, word in verdicts.items():
            found[mode, framework] = word
            tell(f"{name}: {mode}, {FRAMEWORKS[framework]}: {word}")

    for framework in frameworks:
        for strategy in STRATEGIES[framework]:
            kinds = distribute(framework, strategy, launcher, reference[framework]["whole"], folder)
            note({f"{kind}; {strategy}": word for kind, word in kinds.items()}, framework)
        note(try_trials(framework, launcher, reference[framework], folder), framework)
    return found


def markdown(by_launcher: Mapping[str, Verdicts]) -> str:
    """Return the table: one row per mode and framework, one column per launcher."""
    rows = list(dict.fromkeys(key for verdicts in by_launcher.values() for key in verdicts))
    rows.sort(key=lambda key: (list(FRAMEWORKS).index(key[1]), "supervised" in key[0]))
    lines = [f"| mode | framework | {' | '.join(by_launcher)} |", "|---|---|" + "---|" * len(by_launcher)]
    rest = " |" * (len(by_launcher) - 1)
    lines += [f"| single | {name} | the reference |{rest}" for name in FRAMEWORKS.values()]
    for mode, framework in rows:
        cells = " | ".join(verdicts.get((mode, framework), "-") for verdicts in by_launcher.values())
        lines.append(f"| {mode} | {FRAMEWORKS[framework]} | {cells} |")
    for (mode, framework), reason in NOT_OFFERED.items():
        lines.append(f"| {mode} | {FRAMEWORKS[framework]} | not offered: {reason} |{rest}")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("launchers", nargs="*", metavar="LAUNCHER", help=f"{', '.join(LAUNCHERS)}; by default all")
    parser.add_argument("--single", nargs=2, metavar=("FRAMEWORK", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.single:
        framework, folder = arguments.single
        print(json.dumps(single(framework, Path(folder))))
        return
    unknown = [name for name in arguments.launchers if name not in LAUNCHERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(LAUNCHERS)}")
    with tempfile.TemporaryDirectory() as into:
        begun = time.perf_counter()

        def tell(line: str) -> None:
            print(f"{time.perf_counter() - begun:5.0f} s  {line}", file=sys.stderr, flush=True)

        tell("training each mode in a single process, to compare with")
        reference = references(Path(into))
        found = {
            name: try_launcher(name, reference, Path(into), tell=tell) for name in arguments.launchers or LAUNCHERS
        }
    print(markdown(found))


if __name__ == "__main__":
    main()
