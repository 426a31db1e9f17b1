"""One interface to all simulators: names, sizes, folders that appear whole, labels, equal seeds."""

import hashlib
import json

import pytest
import zarr

from deepcube.cubes.publish_folder import FolderExistsError, whole_folder
from deepcube.cubes.simulate import SimulationError, get_simulator, read_simulation, simulate, simulator_names

SMALLEST = {
    "firecube": {"rows": 18, "columns": 20, "days": 20},
    "drought": {"side": 12, "days": 200},
    "interferograms": {"patches": 3, "side": 24},
    "scatterers": {"points": 40, "epochs": 60},
    "displacement": {"districts": 5, "weeks": 80},
    "tourism": {"side": 12, "days": 60},
}


def digest(folder):
    """Return the digest of all files, but for the description."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "simulation.json"):
        found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


@pytest.mark.parametrize("name", simulator_names())
def test_equal_seeds_give_equal_bytes_and_others_do_not(name, tmp_path):
    first = simulate(name, tmp_path / "a", seed=1, size="tiny", **SMALLEST[name])
    again = simulate(name, tmp_path / "b", seed=1, size="tiny", **SMALLEST[name])
    other = simulate(name, tmp_path / "c", seed=2, size="tiny", **SMALLEST[name])

    def values(made):
        return digest(made.folder)

    assert first.document == again.document
    # the history of a store tells the seed, so values are compared by the arrays' own files
    assert values(first) == values(again) != values(other)


@pytest.mark.parametrize("name", simulator_names())
def test_everything_says_that_it_is_simulated(name, tmp_path):
    made = simulate(name, tmp_path / "made", seed=0, size="tiny", **SMALLEST[name])
    assert made.document["simulated"] is True
    assert made.document["parameters"][next(iter(SMALLEST[name]))] == next(iter(SMALLEST[name].values()))
    for store in (made.data, made.truth):
        assert store.exists()
        if store.suffix == ".zarr":
            root = zarr.open_group(store, mode="r")
            assert root.attrs["simulated"] == "true"
            assert all(group.attrs["simulated"] == "true" for _, group in root.groups())


@pytest.mark.parametrize("name", simulator_names())
def test_every_simulator_has_a_tiny_and_a_small_size_that_exist(name):
    simulator = get_simulator(name)
    assert {"tiny", "small"} <= set(simulator.sizes)
    for size in simulator.sizes:
        assert simulator.configured(size, {}) is not None


def test_wrong_names_say_what_there_is(tmp_path):
    with pytest.raises(SimulationError, match="firecube"):
        simulate("firecub", tmp_path / "x")
    with pytest.raises(SimulationError, match="tiny"):
        simulate("firecube", tmp_path / "x", size="huge")
    with pytest.raises(SimulationError, match="rows"):
        simulate("firecube", tmp_path / "x", row=3)
    with pytest.raises(SimulationError, match="seed"):
        simulate("firecube", tmp_path / "x", seed=-1)
    with pytest.raises(SimulationError, match=r"simulation\.json"):
        read_simulation(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_simulation_leaves_nothing(tmp_path):
    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate("interferograms", tmp_path / "x", size="tiny", report=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_when_asked_and_only_by_a_whole_one(tmp_path):
    out = tmp_path / "out"
    with whole_folder(out) as folder:
        (folder / "first").write_text("1")
        assert not out.exists()
    with pytest.raises(FolderExistsError), whole_folder(out):
        pass
    with pytest.raises(RuntimeError), whole_folder(out, overwrite=True) as folder:
        (folder / "half").write_text("2")
        raise RuntimeError
    assert [path.name for path in out.iterdir()] == ["first"]
    with whole_folder(out, overwrite=True) as folder:
        (folder / "second").write_text("2")
    assert [path.name for path in out.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_lists_and_simulates(tmp_path):
    from click.testing import CliRunner

    from jobs.cli.simulate import simulate as command

    listed = CliRunner().invoke(command, [])
    assert listed.exit_code == 0 and all(name in listed.output for name in simulator_names())
    out = tmp_path / "made"
    arguments = ["interferograms", "--out", str(out), "--size", "tiny", "--set", "patches=2", "--set", "side=24"]
    made = CliRunner().invoke(command, arguments)
    assert made.exit_code == 0, made.output
    assert json.loads((out / "simulation.json").read_text())["parameters"]["patches"] == 2
    again = CliRunner().invoke(command, arguments)
    assert again.exit_code == 1 and "exists already" in again.output
