"""Small simulations that several tests look at."""

import pytest

from deepcube.cubes.simulate import simulate


@pytest.fixture(scope="session")
def firecube(tmp_path_factory):
    return simulate("firecube", tmp_path_factory.mktemp("simulate") / "firecube", seed=3, size="tiny", days=64)


@pytest.fixture(scope="session")
def interferograms(tmp_path_factory):
    return simulate("interferograms", tmp_path_factory.mktemp("simulate") / "patches", seed=5, size="tiny", patches=40)
