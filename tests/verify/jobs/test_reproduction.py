"""Reproduction: recorded numbers against reproduced ones, and everything that is no number."""

from typing import Any

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import Reproduction
from controller.plan.verify.findings import Finding
from controller.plan.verify.jobs import Failed, Refused, Running
from controller.plan.verify.numbers import check_reproduction, reproduction_findings


def reproduction(*recorded: dict[str, str], **tolerance: str) -> Reproduction:
    entries = recorded or ({"name": "accuracy", "value": "0.9633"},)
    written: dict[str, Any] = {"jobFrom": "again", "recorded": list(entries), "tolerance": tolerance}
    return Reproduction.model_validate(written)


def compared(expected: Reproduction, text: str) -> Finding:
    job, *rest = check_reproduction(expected, text)
    assert job.state is CheckState.PASSED
    (finding,) = rest
    return finding


def test_recorded_reproduced_difference_and_allowed_are_shown() -> None:
    finding = compared(reproduction(rtol="0.001"), '{"accuracy": 0.9677}')
    assert finding.name == "reproduction/accuracy"
    assert finding.state is CheckState.FAILED
    assert finding.found == "reproduced 0.9677, difference 0.0044"
    assert finding.expected == "recorded 0.9633, allowed difference 0.0009633"


@pytest.mark.parametrize(
    ("recorded", "tolerance", "reproduced", "passes"),
    [
        ("0.3", {}, "0.3", True),
        ("0.3", {}, "0.30000000000000004", False),
        ("0.3", {"atol": "0.000000000001"}, "0.30000000000000004", True),
        ("100", {"rtol": "0.01"}, "101", True),
        ("100", {"rtol": "0.01"}, "101.000001", False),
        ("100", {"rtol": "0.01", "atol": "0.5"}, "101.5", True),
        ("-100", {"rtol": "0.01"}, "-99", True),
        ("0", {"rtol": "0.5"}, "0.0000001", False),
        ("0", {"rtol": "0.5"}, "-0.0", True),
        ("123456789012345.123456789012", {}, "123456789012345.12", False),
        ("1", {"atol": "0.1"}, "1e400", False),
    ],
)
def test_the_tolerance_is_exact(recorded: str, tolerance: dict[str, str], reproduced: str, passes: bool) -> None:
    finding = compared(reproduction({"name": "n", "value": recorded}, **tolerance), f'{{"n": {reproduced}}}')
    assert finding.state is (CheckState.PASSED if passes else CheckState.FAILED)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"auc": 0.9, "loss": 1}', "the result has no accuracy; it has: auc, loss"),
        ("{}", "the result has no accuracy; it has: nothing"),
        ('{"accuracy": "0.9633"}', "reproduced '0.9633', which is no number"),
        ('{"accuracy": true}', "reproduced True, which is no number"),
        ('{"accuracy": null}', "reproduced None, which is no number"),
        ('{"accuracy": [0.9633]}', "reproduced [0.9633], which is no number"),
    ],
)
def test_what_is_no_number_fails_in_words(text: str, found: str) -> None:
    finding = compared(reproduction(), text)
    assert (finding.state, finding.found) == (CheckState.FAILED, found)
    assert finding.expected == "recorded 0.9633"


def test_digests_must_be_equal() -> None:
    expected = reproduction({"name": "outputs", "digest": "sha256:ab"}, rtol="1")
    assert compared(expected, '{"outputs": "sha256:ab"}').state is CheckState.PASSED
    other = compared(expected, '{"outputs": "sha256:ac"}')
    assert (other.state, other.found, other.expected) == (
        CheckState.FAILED,
        "reproduced 'sha256:ac'",
        "recorded 'sha256:ab'",
    )


def test_a_result_that_cannot_be_read_fails_the_job() -> None:
    for text in ("accuracy 0.96", '{"accuracy": NaN}', '{"accuracy": Infinity}', ""):
        (finding,) = check_reproduction(reproduction(), text, job="again-1")
        assert (finding.name, finding.state) == ("reproduction/job", CheckState.FAILED)
        assert finding.found.startswith("job again-1 ended, but: expected a JSON object")


def test_the_job_is_told_of_until_it_ended() -> None:
    (running,) = reproduction_findings(reproduction(), Running("again-1"))
    assert (running.state, running.found) == (CheckState.RUNNING, "job again-1 runs")
    (failed,) = reproduction_findings(
        reproduction(), Failed("again-1", "did not end within 1h", "kubectl logs --namespace ml job/again-1")
    )
    assert failed.found == "job again-1 did not end within 1h; see: kubectl logs --namespace ml job/again-1"
    (refused,) = reproduction_findings(reproduction(), Refused("CronJob again is not in namespace ml"))
    assert (refused.state, refused.found) == (CheckState.FAILED, "CronJob again is not in namespace ml")
