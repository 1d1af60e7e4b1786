"""The page of validity keeps what it says: what a model server exports is what the operator asks for."""

from datetime import timedelta

import pytest
import yaml

from controller.api.metric import Metric
from controller.judge import LOST_WINDOWS
from controller.observe.labels import COHORTS, Cohort
from docs.generate import ROOT
from tests.docs.markdown import blocks, text_of

PAGE = ROOT / "docs" / "validity.md"


@pytest.mark.parametrize("number", [2_945_000, 2_945_001, 2_945_007, 2_945_008])
def test_cohort_that_the_server_exports_is_the_one_that_is_asked_for(number: int) -> None:
    (block,) = (block for block in blocks("python") if block.page == PAGE)
    exported: dict[str, object] = {}
    exec(compile(block.text, str(PAGE), "exec"), exported)
    cohort = Cohort(number, timedelta(minutes=10))
    function = exported["cohort"]
    assert callable(function)
    for moment in (cohort.start, cohort.end - timedelta(milliseconds=1)):
        assert function(moment.timestamp(), 600.0) == cohort.value
    assert function(cohort.end.timestamp(), 600.0) != cohort.value
    assert exported["COHORTS"] == COHORTS


def test_metrics_on_the_page_are_accepted() -> None:
    found = [yaml.safe_load(block.text) for block in blocks("yaml") if block.page == PAGE]
    metrics = [Metric.model_validate(each) for document in found for each in document["analysis"]["metrics"]]
    assert [metric.cohort for metric in metrics] == ["predicted", None]
    assert [metric.slices for metric in metrics] == [(), ("country",)]


def test_windows_until_a_metric_is_lost_are_those_on_the_page() -> None:
    assert LOST_WINDOWS == 3
    assert "three windows in a row" in text_of(PAGE)
