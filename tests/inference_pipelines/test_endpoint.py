"""What predictors of every use case share: one budget for a request, and a store that is there before the first one."""

from typing import Any

import pytest

from deepcube.explain import ExplainOptions
from inference_pipelines.endpoint import OnlineFeatures, explained_by_wish


def test_instances_of_one_wish_are_explained_together_and_the_smallest_budget_first() -> None:
    patient, hasty = ExplainOptions("kernel_shap", (), 5.0), ExplainOptions("kernel_shap", (), 0.5)
    asked: list[tuple[list[int], ExplainOptions]] = []

    def explain(positions: list[int], wanted: ExplainOptions) -> list[str]:
        asked.append((positions, wanted))
        return [f"{position} within {wanted.budget_seconds}" for position in positions]

    found = dict(explained_by_wish([patient, None, hasty, patient], explain))
    assert asked == [([2], hasty), ([0, 3], patient)]
    assert found == {2: "2 within 0.5", 0: "0 within 5.0", 3: "3 within 5.0"}


class Store(OnlineFeatures):
    """Counts how often it is connected to, and may be out of reach."""

    def __init__(self, reachable: bool) -> None:
        self.cube, self.reachable, self.tried = "sample", reachable, 0

    def _ready(self) -> Any:
        self.tried += 1
        if not self.reachable:
            raise ConnectionError("no route to host")


@pytest.mark.parametrize("reachable", [True, False])
def test_a_deployment_connects_before_the_first_request_and_starts_without_a_store(
    reachable: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(reachable)
    monkeypatch.delenv("DEPLOYMENT_NAME", raising=False)
    store.connect()
    assert store.tried == 0, "a batch process may never need it"
    monkeypatch.setenv("DEPLOYMENT_NAME", "droughtsample")
    store.connect()
    assert store.tried == 1
    assert ("No online store of sample yet" in caplog.text) is not reachable
