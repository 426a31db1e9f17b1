"""``python -m benchmarks.volcano_types``: how well the types of volcanic sources are told apart, and what limits it.

Networks are trained on simulated scenes and asked about held-out ones, without air and noise and with them. Given
patches and the annotations of the same interferograms by experts (Hephaestus: Bountos et al., 2022), it also tells how
real types fare; give it patches that nothing is tested on.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from features import volcano
from training_pipelines.volcano.kinds import shapes_of, train_kinds
from training_pipelines.volcano.scenes import Bank, make_bank, make_batch


def main() -> None:
    """Print accuracy, chance and confusion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=int, default=1000, help="simulated sources to learn from (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=2000, help="scenes to learn from (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="networks (default: %(default)s)")
    parser.add_argument("--patches", type=Path, help="folder of real patches, in folders below, too")
    parser.add_argument("--annotations", type=Path, help="archive (tar.gz) of the experts' JSON files")
    arguments = parser.parse_args()
    bank, held = make_bank(arguments.bank, 7), make_bank(max(arguments.bank // 3, 100), 99)
    table = Table("scenes", "accuracy over seeds", "chance", "confusion of the first seed (rows: true)")
    networks = []
    for name, change in (("without air and noise", _clean), ("with air and noise", lambda bank: bank)):
        batch = make_batch(400, change(held), np.random.default_rng(99), moving=1.0)
        moves = batch.deformation[:, 0] == 1
        shapes, truth = shapes_of(batch.seen[moves]), batch.kind[moves, 0].astype(int)
        networks = [
            train_kinds(change(bank), None, 0.0, scenes=arguments.scenes, seed=seed) for seed in range(arguments.seeds)
        ]
        told = [np.asarray(network(shapes)).argmax(axis=1) for network in networks]
        right = [float((one == truth).mean()) for one in told]
        chance = np.bincount(truth).max() / len(truth)
        shown = f"{np.mean(right):.3f} +- {np.std(right, ddof=1) if len(right) > 1 else 0:.3f}"
        table.add_row(name, shown, f"{chance:.3f}", _confusion(truth, told[0]))
    console = Console()
    if arguments.patches and arguments.annotations:
        shapes, truth, counted = _annotated(arguments.patches, arguments.annotations)
        console.print(counted)
        told = [np.asarray(network(shapes)).argmax(axis=1) for network in networks]
        right = [float((one == truth).mean()) for one in told]
        chance = np.bincount(truth).max() / len(truth)
        table.add_row(
            f"real, {len(truth)} patches", f"{np.mean(right):.3f}", f"{chance:.3f}", _confusion(truth, told[0])
        )
    console.print(table)


def _clean(bank: Bank) -> Bank:
    return replace(bank, air=np.zeros_like(bank.air), noise=np.full_like(bank.noise, 0.05))


def _confusion(truth: np.ndarray, told: np.ndarray) -> str:
    rows = []
    for i, name in enumerate(volcano.KINDS):
        counts = np.bincount(told[truth == i], minlength=len(volcano.KINDS))
        rows.append(f"{name}: " + ", ".join(f"{n} {kind}" for n, kind in zip(counts, volcano.KINDS, strict=True)))
    return "\n".join(rows)


def _annotated(patches: Path, archive: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Return shapes and types of the patches whose frame and dates an expert has seen as one type of source."""
    known = dict(_annotations(archive))
    shapes, truth, same, told = [], [], 0, 0
    for path in sorted(path for path in patches.rglob("*") if path.suffix.lower() in volcano.IMAGES):
        named = volcano.name_parts(path.name)
        note = known.get((named["frame"], named["first"], named["second"]))
        if note is None:
            continue
        told += 1
        same += ("Deformation" in note["label"]) == (path.parent.name != "none")
        kinds = [kind.lower() for kind in note.get("activity_type") or []]
        if path.parent.name != "none" and len(kinds) == 1 and kinds[0] in volcano.KINDS:
            phase = volcano.read_interferogram(path)
            shapes.append(volcano.shape_statistics(volcano.phasor(phase[: volcano.PIXELS, : volcano.PIXELS])))
            truth.append(volcano.KINDS.index(kinds[0]))
    if not truth:
        raise SystemExit(
            f"Of the patches in {patches}, {told} have frame and dates in {archive}, none with one type of source."
        )
    return np.array(shapes), np.array(truth), f"{told} patches are annotated; on deformation, {same} agree."


def _annotations(archive: Path) -> Iterator[tuple[tuple[str, str, str], dict]]:
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                note = json.load(file)
                frame = "_".join(str(note["frameID"]).split("_")[:2])  # track and frame, as the patches name them
                yield (frame, str(note["primary_date"]), str(note["secondary_date"])), note


if __name__ == "__main__":
    main()
