"""What a difference does: required, allowed, or neither; and what is not known does too."""

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import OnMismatch, Parity, ParityGroup
from controller.plan.verify.environment import Environment, Fact, Load, shown
from controller.plan.verify.findings import Finding
from controller.plan.verify.parity import MOST_DIFFERENCES, ParityResult, compare
from tests.verify.parity.arms import DIGEST, OTHER_DIGEST, arm, container, pod, template

FACTED = sorted(set(ParityGroup) - {ParityGroup.LOAD, ParityGroup.MODEL})


def finding(result: ParityResult, group: ParityGroup) -> Finding:
    (found,) = (each for each in result.findings if each.name == f"parity/{group}")
    return found


def declaring(group: ParityGroup, facts: dict[str, Fact]) -> Environment:
    return Environment(deployment="fraud", declared={group: facts})


def test_there_is_one_finding_for_each_group_in_order() -> None:
    result = compare(Parity(), arm(template()), arm(template()))
    assert [each.name for each in result.findings] == [f"parity/{group}" for group in ParityGroup]


@pytest.mark.parametrize("group", FACTED)
def test_the_policy_decides_what_a_difference_does(group: ParityGroup) -> None:
    stable, candidate = declaring(group, {"x": shown("1")}), declaring(group, {"x": shown("2")})
    told = CheckState.PASSED if group is ParityGroup.COMMAND else CheckState.WARNED
    expected = {
        Parity(): told,
        Parity(require=(group,)): CheckState.FAILED,
        Parity(require=(group,), on_mismatch=OnMismatch.WARN): CheckState.WARNED,
        Parity(allow_diff=(group,)): CheckState.PASSED,
    }
    for parity, state in expected.items():
        result = compare(parity, stable, candidate)
        assert (finding(result, group).state, finding(result, group).found) == (state, "x 1 against 2")
        allowed = " (allowed)" if parity.allow_diff else ""
        assert result.environment.differences == (f"{group}: x 1 against 2{allowed}",)


@pytest.mark.parametrize("group", FACTED)
def test_equal_groups_pass_whatever_the_policy(group: ParityGroup) -> None:
    of = template()
    stable, candidate = arm(of, pod(of)), arm(of, pod(of))
    facts = {"x": shown("1")}
    stable = Environment("a", {group: facts}, stable.observed, pods=1)
    candidate = Environment("b", {group: facts}, candidate.observed, pods=1)
    for parity in (Parity(), Parity(require=(group,)), Parity(allow_diff=(group,))):
        result = compare(parity, stable, candidate)
        assert finding(result, group).state is CheckState.PASSED
        assert result.environment.differences == ()


def test_a_fact_of_one_arm_alone_is_a_difference() -> None:
    stable = declaring(ParityGroup.PACKAGES, {"numpy": shown("2.0.1"), "torch": shown("2.4")})
    candidate = declaring(ParityGroup.PACKAGES, {"numpy": shown("2.0.1"), "jax": shown("0.4")})
    found = finding(compare(Parity(), stable, candidate), ParityGroup.PACKAGES).found
    assert found == "jax 0.4 only in the candidate; torch 2.4 only in stable"


@pytest.mark.parametrize(
    ("parity", "state"),
    [
        (Parity(), CheckState.UNSUPPORTED),
        (Parity(require=(ParityGroup.PACKAGES,)), CheckState.FAILED),
        (Parity(require=(ParityGroup.PACKAGES,), on_mismatch=OnMismatch.WARN), CheckState.WARNED),
    ],
)
def test_what_nobody_knows_never_passes(parity: Parity, state: CheckState) -> None:
    found = finding(compare(parity, arm(template()), arm(template())), ParityGroup.PACKAGES)
    assert found.state is state
    assert "modelrollout.dev/packages" in found.found


def test_what_could_not_be_read_is_told_with_the_reason() -> None:
    refused = {ParityGroup.NODES: "the operator may not read nodes; grant it get nodes"}
    of = template()
    stable, candidate = arm(of, pod(of), nodes={}, unknown=refused), arm(of, pod(of), nodes={}, unknown=refused)
    found = finding(compare(Parity(), stable, candidate), ParityGroup.NODES)
    assert (found.state, found.found) == (CheckState.UNSUPPORTED, f"not known: {refused[ParityGroup.NODES]}")
    required = compare(Parity(require=(ParityGroup.NODES,)), stable, candidate)
    assert finding(required, ParityGroup.NODES).state is CheckState.FAILED


@pytest.mark.parametrize("group", [ParityGroup.IMAGES, ParityGroup.NODES, ParityGroup.GPU, ParityGroup.SIDECARS])
def test_what_only_pods_prove_waits_for_pods(group: ParityGroup) -> None:
    of = template()
    stable, candidate = arm(of, pod(of)), arm(of, name="fraud-v2")
    found = finding(compare(Parity(), stable, candidate), group)
    assert (found.state, found.found) == (CheckState.SKIPPED, "no pod of fraud-v2 has started")
    assert finding(compare(Parity(require=(group,)), stable, candidate), group).state is CheckState.PENDING


def test_replicas_of_one_arm_that_disagree_fail_even_where_images_may_differ() -> None:
    of = template()
    whole = arm(of, pod(of, "a"), pod(of, "b"))
    torn = arm(of, pod(of, "a"), pod(of, "b", image_id=OTHER_DIGEST), name="fraud-v2")
    parity = Parity(allow_diff=(ParityGroup.IMAGES,), on_mismatch=OnMismatch.WARN)
    for stable, candidate, whose in ((whole, torn, "the candidate"), (torn, whole, "stable")):
        found = finding(compare(parity, stable, candidate), ParityGroup.IMAGES)
        assert found.state is CheckState.FAILED
        assert found.found.startswith(f"pods of {whose} (fraud-v2) run different images")
    assert finding(compare(parity, whole, whole), ParityGroup.IMAGES).state is CheckState.PASSED


def test_an_imported_image_beside_a_pulled_one_is_not_a_disagreement() -> None:
    of = template()
    mixed = arm(of, pod(of, "a"), pod(of, "b", image_id="sha256:" + "c" * 64))
    found = finding(compare(Parity(require=(ParityGroup.IMAGES,)), mixed, mixed), ParityGroup.IMAGES)
    assert found.state is CheckState.PASSED


@pytest.mark.parametrize("parity", [Parity(), Parity(require=(ParityGroup.IMAGES,))])
def test_images_are_compared_by_digest_and_not_by_tag(parity: Parity) -> None:
    v1, v2 = template(container(image="fraud:1")), template(container(image="mirror.example/fraud:2"))
    same = compare(parity, arm(v1, pod(v1)), arm(v2, pod(v2, image_id="mirror.example/" + DIGEST)))
    assert finding(same, ParityGroup.IMAGES).state is CheckState.PASSED
    moved = compare(parity, arm(v1, pod(v1)), arm(v1, pod(v1, image_id=OTHER_DIGEST)))
    found = finding(moved, ParityGroup.IMAGES)
    assert found.state is (CheckState.FAILED if parity.require else CheckState.WARNED)
    assert found.found == f"image fraud:1 ({'a' * 12}) against fraud:1 ({'b' * 12})"


def test_status_holds_so_many_differences_and_says_how_many_more() -> None:
    stable = declaring(ParityGroup.PACKAGES, {f"p{index:02}": shown("1") for index in range(60)})
    candidate = declaring(ParityGroup.PACKAGES, {f"p{index:02}": shown("2") for index in range(60)})
    differences = compare(Parity(), stable, candidate).environment.differences
    assert len(differences) == MOST_DIFFERENCES
    assert differences[-1] == "and 21 more"


def model_arm(version: str | None, *, image_id: str = DIGEST, **annotations: str) -> Environment:
    of = template(annotations={f"modelrollout.dev/{name}": value for name, value in annotations.items()})
    return arm(of, pod(of, image_id=image_id), version=version)


@pytest.mark.parametrize(
    ("stable", "candidate", "state"),
    [
        (model_arm("1", modelDigest="x"), model_arm("2", modelDigest="y"), CheckState.PASSED),
        (model_arm("1", modelDigest="x"), model_arm("2", modelDigest="x"), CheckState.FAILED),
        (model_arm(None, modelDigest="x"), model_arm("2", modelDigest="x"), CheckState.WARNED),
        (model_arm("2", modelDigest="x"), model_arm("2", modelDigest="x"), CheckState.WARNED),
        (model_arm("1"), model_arm("2", image_id=OTHER_DIGEST), CheckState.PASSED),
        (model_arm("1"), model_arm("2"), CheckState.UNSUPPORTED),
    ],
)
def test_a_new_model_is_expected_to_be_another_one(
    stable: Environment, candidate: Environment, state: CheckState
) -> None:
    assert finding(compare(Parity(), stable, candidate), ParityGroup.MODEL).state is state


def test_the_same_reference_may_hold_a_new_model() -> None:
    of = template(container(args=["--model_uri=s3://models/latest"]))
    stable, candidate = arm(of, pod(of), version="1"), arm(of, pod(of), version="2")
    found = finding(compare(Parity(), stable, candidate), ParityGroup.MODEL)
    assert found.state is CheckState.WARNED
    assert found.found == (
        "version 2 is to replace 1, yet both arms name the same model: argument --model_uri s3://models/latest"
    )


def test_in_a_rollout_of_configuration_the_model_must_stay() -> None:
    parity = Parity(require=(ParityGroup.MODEL,))
    same = compare(parity, model_arm("1", modelDigest="x"), model_arm("1", modelDigest="x"))
    other = compare(parity, model_arm("1", modelDigest="x"), model_arm("1", modelDigest="y"))
    assert finding(same, ParityGroup.MODEL).state is CheckState.PASSED
    assert finding(other, ParityGroup.MODEL).state is CheckState.FAILED
    assert finding(other, ParityGroup.MODEL).found == "digest x against y"


def loaded(pods: int, percent: float, **resources: str) -> Environment:
    of = template(container(resources={"limits": resources}))
    return arm(of, pod(of), load=Load(pods=pods, percent=percent))


def test_load_is_requests_per_pod_within_a_quarter() -> None:
    even = compare(Parity(), loaded(3, 75.0), loaded(1, 25.0))
    assert (finding(even, ParityGroup.LOAD).state, even.latency_void) == (CheckState.PASSED, None)
    nearly = compare(Parity(), loaded(4, 80.0), loaded(1, 20.0 * 1.25))
    assert nearly.latency_void is None
    assert compare(Parity(), loaded(4, 80.0), loaded(1, 20.0 * 1.3)).latency_void is not None
    uneven = compare(Parity(), loaded(3, 90.0), loaded(3, 10.0))
    assert finding(uneven, ParityGroup.LOAD).state is CheckState.WARNED
    assert uneven.latency_void == (
        "latency is not comparable, Load differs: a pod of stable gets 30.0 % of the requests (one of 3), a pod of the "
        "candidate 3.3 % (one of 3); about even would be 1 of the candidate; make them equal, or accept that with "
        "verify.parity.allowDiff: [Load]"
    )


def test_before_any_request_load_is_not_compared() -> None:
    for candidate in (loaded(3, 0.0), loaded(0, 10.0)):
        result = compare(Parity(require=(ParityGroup.LOAD,)), loaded(3, 100.0), candidate)
        assert (finding(result, ParityGroup.LOAD).state, result.latency_void) == (CheckState.SKIPPED, None)


def test_other_resources_void_latency_unless_that_is_allowed() -> None:
    stable, candidate = loaded(1, 50.0, cpu="2", memory="1Gi"), loaded(1, 50.0, cpu="4000m", memory="1024Mi")
    void = compare(Parity(), stable, candidate).latency_void
    assert void is not None
    assert "limits cpu 2 against 4000m; " in void
    assert "memory" not in void
    assert compare(Parity(allow_diff=(ParityGroup.RESOURCES,)), stable, candidate).latency_void is None
