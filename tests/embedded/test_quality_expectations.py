"""Expectation suites and validation reports through the real client: kept, changed, enforced, listed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.e2e

gx = pytest.importorskip("great_expectations")


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


def expectation(minimum: float, column: str = "ndvi") -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = {"column": column, "min_value": minimum, "max_value": 1.0}
    return ExpectationConfiguration(type="expect_column_values_to_be_between", kwargs=kwargs)


def suite(*expectations: Any, name: str = "plausible") -> Any:
    return gx.core.ExpectationSuite(name=name, expectations=list(expectations))


def rows(*values: float, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"cell": range(start, start + len(values)), "ndvi": values})


def make_group(store: Any, name: str, **options: Any) -> Any:
    return store.create_feature_group(name, version=1, primary_key=["cell"], time_travel_format="DELTA", **options)


def test_a_group_without_a_suite_has_none(store: Any) -> None:
    group = make_group(store, "ge_none")
    _, report = group.insert(rows(0.1))
    assert report is None
    assert group.get_expectation_suite() is None
    assert group.get_all_validation_reports() == []
    assert group.get_latest_validation_report() is None


def test_always_records_and_lets_in(store: Any) -> None:
    group = make_group(store, "ge_always")
    group.insert(rows(0.1))
    group.save_expectation_suite(suite(expectation(0.0)), validation_ingestion_policy="ALWAYS")
    _, report = group.insert(rows(-0.5, 0.5, start=1))
    assert report is not None and not report.success
    assert len(group.read()) == 3
    kept = group.get_latest_validation_report(ge_type=False)
    assert (kept.success, kept.ingestion_result) == (False, "INGESTED")
    assert kept.results[0].result["unexpected_count"] == 1
    assert kept.statistics["unsuccessful_expectations"] == 1


def test_strict_keeps_bad_rows_out(store: Any) -> None:
    from hopsworks.client.exceptions import DataValidationException

    group = make_group(store, "ge_strict")
    group.insert(rows(0.1))
    group.save_expectation_suite(suite(expectation(0.0)), validation_ingestion_policy="STRICT")
    with pytest.raises(DataValidationException):
        group.insert(rows(-0.5, start=1))
    assert group.read()["ndvi"].tolist() == [0.1]
    group.insert(rows(0.7, start=1))
    assert sorted(group.read()["ndvi"]) == [0.1, 0.7]
    outcomes = [report.ingestion_result for report in group.get_all_validation_reports(ge_type=False)]
    assert outcomes == ["INGESTED", "REJECTED"]


def test_a_suite_given_at_creation_counts_for_the_first_insert(store: Any) -> None:
    from hopsworks.client.exceptions import DataValidationException
    from hsfs.expectation_suite import ExpectationSuite

    strict = ExpectationSuite.from_ge_type(suite(expectation(0.0)), validation_ingestion_policy="STRICT")
    group = make_group(store, "ge_creation", expectation_suite=strict)
    with pytest.raises(DataValidationException):
        group.insert(rows(-1.0))
    again = store.get_feature_group("ge_creation", 1)
    assert again.expectation_suite.validation_ingestion_policy == "STRICT"
    again.insert(rows(0.5))
    assert again.read()["ndvi"].tolist() == [0.5]


def test_expectations_are_added_replaced_and_removed(store: Any) -> None:
    group = make_group(store, "ge_edit")
    group.insert(rows(0.1))
    group.save_expectation_suite(suite(expectation(0.0)))
    kept = group.get_expectation_suite(ge_type=False)
    first = kept.expectations[0]
    added = kept.add_expectation(expectation(0.0, column="cell"), ge_type=False)
    assert {e.kwargs["column"] for e in kept.expectations} == {"ndvi", "cell"}
    first.kwargs["min_value"] = -1.0
    kept.replace_expectation(first)
    assert kept.get_expectation(first.id, ge_type=False).kwargs["min_value"] == -1.0
    kept.remove_expectation(added.id)
    assert [e.id for e in group.get_expectation_suite(ge_type=False).expectations] == [first.id]


def test_a_suite_is_changed_replaced_and_removed(store: Any) -> None:
    from hopsworks.client.exceptions import RestAPIError

    group = make_group(store, "ge_suite")
    group.insert(rows(0.1))
    group.save_expectation_suite(suite(expectation(0.0)))
    kept = group.get_expectation_suite(ge_type=False)
    kept.validation_ingestion_policy = "STRICT"
    kept.expectation_suite_name = "renamed"
    kept.run_validation = False
    found = group.get_expectation_suite(ge_type=False)
    assert (found.expectation_suite_name, found.validation_ingestion_policy) == ("renamed", "STRICT")
    assert found.run_validation is False and len(found.expectations) == 1
    with pytest.raises(RestAPIError, match="already"):
        group.save_expectation_suite(suite(expectation(0.2), name="other"))
    group.save_expectation_suite(suite(expectation(0.2), name="other"), overwrite=True)
    assert group.get_expectation_suite(ge_type=False).expectation_suite_name == "other"
    group.delete_expectation_suite()
    assert group.get_expectation_suite() is None


def test_the_history_of_an_expectation(store: Any) -> None:
    from hopsworks.client.exceptions import DataValidationException

    group = make_group(store, "ge_history")
    group.insert(rows(0.1))
    group.save_expectation_suite(suite(expectation(0.0)), validation_ingestion_policy="STRICT")
    identifier = group.get_expectation_suite(ge_type=False).expectations[0].id
    group.insert(rows(0.2, start=1))
    with pytest.raises(DataValidationException):
        group.insert(rows(-0.2, start=2))
    found = group.get_validation_history(identifier, ge_type=False)
    assert [result.success for result in found] == [False, True]
    assert found[0].expectation_config["kwargs"]["column"] == "ndvi"
    rejected = group.get_validation_history(identifier, filter_by=["REJECTED"], ge_type=False)
    assert [result.ingestion_result for result in rejected] == ["REJECTED"]
    both = group.get_validation_history(identifier, filter_by=["REJECTED", "INGESTED"], ge_type=False)
    assert len(both) == 2
    moment = found[1].validation_time
    before = group.get_validation_history(identifier, end_validation_time=moment, ge_type=False)
    assert [result.success for result in before] == [True]
    assert group.get_validation_history(identifier, start_validation_time=moment + 3_600_000, ge_type=False) == []


def test_validate_without_writing(store: Any) -> None:
    group = make_group(store, "ge_validate")
    group.insert(rows(0.1, -0.1))
    report = group.validate(rows(0.1), expectation_suite=suite(expectation(0.0)), ge_type=False)
    assert report.success and group.get_all_validation_reports() == []
    group.save_expectation_suite(suite(expectation(0.0)))
    kept = group.validate(save_report=True, ge_type=False)
    assert (kept.success, kept.ingestion_result) == (False, "FG_DATA")
