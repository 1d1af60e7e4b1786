import pytest

from controller.act.route import RouteProblem
from controller.act.selector import label_query, narrow, picks, wide
from controller.api.reasons import Reason
from controller.observe.cluster import Json

Labels = dict[str, str]


def deployment(name: str, labels: Labels, match: Labels | None = None) -> Json:
    selector = {"matchLabels": labels if match is None else match}
    return {"metadata": {"name": name}, "spec": {"selector": selector, "template": {"metadata": {"labels": labels}}}}


V1 = deployment("fraud-v1", {"app": "fraud", "version": "v1", "team": "risk"}, {"app": "fraud", "version": "v1"})
V2 = deployment("fraud-v2", {"app": "fraud", "version": "v2", "team": "risk"}, {"app": "fraud", "version": "v2"})


def test_narrow_is_what_the_deployment_selects_by() -> None:
    assert narrow(V1, None) == {"app": "fraud", "version": "v1"}
    assert narrow(V2, V1) == {"app": "fraud", "version": "v2"}


def test_wide_is_what_both_share() -> None:
    assert wide(V1, V2) == {"app": "fraud", "team": "risk"}


def test_narrow_adds_what_tells_the_arms_apart_when_their_selectors_overlap() -> None:
    one = deployment("a", {"app": "fraud", "version": "v1"}, {"app": "fraud"})
    other = deployment("b", {"app": "fraud", "version": "v2"}, {"app": "fraud"})
    assert narrow(one, other) == {"app": "fraud", "version": "v1"}
    assert narrow(one, None) == {"app": "fraud"}
    assert wide(one, other) == {"app": "fraud"}


def test_deployment_that_selects_by_expressions_is_picked_by_its_pod_labels() -> None:
    assert narrow(deployment("a", {"app": "fraud"}, {}), None) == {"app": "fraud"}


def test_no_common_label() -> None:
    with pytest.raises(RouteProblem) as caught:
        wide(V1, deployment("other", {"app": "other"}))
    assert caught.value.problem.reason is Reason.NO_COMMON_LABEL
    assert 'modelrollout.dev/service: "fraud-v1"' in caught.value.problem.message


@pytest.mark.parametrize("labels", [{"app": "fraud"}, {"app": "fraud", "version": "v2"}])
def test_no_distinct_label_even_when_one_arm_only_has_more_labels(labels: Labels) -> None:
    with pytest.raises(RouteProblem) as caught:
        wide(deployment("a", {"app": "fraud"}), deployment("b", labels))
    assert caught.value.problem.reason is Reason.NO_DISTINCT_LABEL
    assert 'spec.template.metadata.labels of a: modelrollout.dev/deployment: "a"' in caught.value.problem.message


def test_empty_selector_picks_nothing() -> None:
    assert not picks({}, {"app": "fraud"})
    assert picks({"app": "fraud"}, {"app": "fraud", "version": "v1"})
    assert not picks({"app": "fraud", "version": "v2"}, {"app": "fraud", "version": "v1"})


def test_query() -> None:
    assert label_query({"b": "2", "a": "1"}) == "a=1,b=2"
