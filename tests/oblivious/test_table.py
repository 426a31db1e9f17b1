"""The table of docs/training.md: every mode of every framework on every launcher runs and equals a single process."""

import pytest

from benchmarks import oblivious_table as table
from benchmarks.oblivious_lessons import LEARNING

pytest.importorskip("torch", reason="torch is optional")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return table.references(tmp_path_factory.mktemp("single"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "launcher", ["local", *(pytest.param(name, marks=pytest.mark.slow) for name in table.LAUNCHERS[1:])]
)
def test_every_mode_equals_a_single_process(tmp_path, reference, launcher):
    found = table.try_launcher(launcher, reference, tmp_path)
    assert {key: word for key, word in found.items() if word != table.EQUAL} == {}
    offered = {
        "torch": ("ddp", "replicate", "zero1", "fsdp2"),
        "tensorflow": ("mirrored",),
        "jax": ("jax-data", "jax-model"),
    }
    for framework, strategies in offered.items():
        modes = {f"{kind}; {strategy}" for kind in LEARNING for strategy in strategies}
        assert {mode for mode, of in found if of == framework} == modes | {"search", "ablation"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("launcher", table.LAUNCHERS[1:])
def test_every_kind_of_learning_runs_on_every_launcher(tmp_path, reference, launcher):
    """The small form of the slow tests above: the workers do the same whatever started them."""
    found = table.distribute("torch", "ddp", table.make_launcher(launcher), reference["torch"]["whole"], tmp_path)
    assert found == dict.fromkeys(LEARNING, table.EQUAL)


def test_a_wrong_loss_is_seen():
    assert table.verdict({"loss": 1.0 + 1e-7}, {"loss": 1.0}) == table.EQUAL
    assert table.verdict({"loss": 1.001, "other": 1.0}, {"loss": 1.0, "other": 1.0}) == "differs by 1.0e-03"
