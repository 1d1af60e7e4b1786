"""The course of a pipeline: order, what each check says, where it stops, and what is refused before any Job runs."""

from collections.abc import Mapping

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import PipelineComponent
from controller.plan.verify.jobs import Failed, JobState, Refused, Running, Succeeded
from controller.plan.verify.pipeline import PipelineCourse, check_expressions, follow_pipeline

INGEST = {"name": "raw-ingest", "jobFrom": "fraud-ingest", "exit": ["rows >= 1000", "columns.age.nullRate <= 0.01"]}
TRAIN = {"name": "train", "jobFrom": "fraud-train", "entry": ["raw_ingest.rows >= 1000"]}
EVALUATE = {
    "name": "evaluate",
    "jobFrom": "fraud-evaluate",
    "entry": ["train.rows > 0 && raw_ingest.rows > train.rows"],
    "exit": ["accuracy >= 0.9"],
}

INGESTED = Succeeded("fraud-ingest-1", '{"rows": 1200, "columns": {"age": {"nullRate": 0.002}}}', 3.0)
TRAINED = Succeeded("fraud-train-1", '{"rows": 600}', 20.0)
EVALUATED = Succeeded("fraud-evaluate-1", '{"accuracy": 0.93}', 2.0)


def components(*written: Mapping[str, object]) -> tuple[PipelineComponent, ...]:
    return tuple(PipelineComponent.model_validate(each) for each in written or (INGEST, TRAIN, EVALUATE))


def follow(**states: JobState) -> PipelineCourse:
    return follow_pipeline(components(), {name.replace("_", "-"): state for name, state in states.items()})


def states(course: PipelineCourse) -> dict[str, str]:
    return {each.name.removeprefix("pipeline/"): str(each.state) for each in course.findings}


def due(course: PipelineCourse) -> str | None:
    return course.due.name if course.due else None


def test_jobs_run_one_after_the_other() -> None:
    start = follow()
    assert due(start) == "raw-ingest"
    assert set(states(start).values()) == {"Pending"}
    assert due(follow(raw_ingest=Running("fraud-ingest-1"))) == "raw-ingest"
    assert due(follow(raw_ingest=INGESTED)) == "train"
    assert due(follow(raw_ingest=INGESTED, train=TRAINED)) == "evaluate"
    end = follow(raw_ingest=INGESTED, train=TRAINED, evaluate=EVALUATED)
    assert end.ended
    assert set(states(end).values()) == {"Passed"}


def test_the_table_has_the_same_checks_from_start_to_end() -> None:
    expected = [
        *("raw-ingest/job", "raw-ingest/exit", "train/entry", "train/job"),
        *("evaluate/entry", "evaluate/job", "evaluate/exit"),
    ]
    for course in (
        follow(),
        follow(raw_ingest=Running("j")),
        follow(raw_ingest=Refused("no")),
        follow(raw_ingest=INGESTED, train=TRAINED),
        follow(raw_ingest=INGESTED, train=TRAINED, evaluate=EVALUATED),
    ):
        assert list(states(course)) == expected


def test_a_broken_exit_names_component_expression_and_found_value_and_stops() -> None:
    message = '{"rows": 950, "columns": {"age": {"nullRate": 0.2}}}'
    course = follow(raw_ingest=Succeeded("fraud-ingest-1", message))
    assert course.ended
    (broken,) = (each for each in course.findings if each.state is CheckState.FAILED)
    assert broken.name == "pipeline/raw-ingest/exit"
    assert broken.expected == "rows >= 1000 && columns.age.nullRate <= 0.01"
    assert broken.found == (
        "rows >= 1000 does not hold: rows = 950; columns.age.nullRate <= 0.01 does not hold: columns.age.nullRate = 0.2"
    )
    assert states(course)["train/job"] == states(course)["evaluate/entry"] == "Skipped"
    assert next(each for each in course.findings if each.name == "pipeline/train/job").found == (
        "raw-ingest failed before"
    )


def test_a_broken_entry_keeps_the_job_from_being_made() -> None:
    course = follow(raw_ingest=INGESTED, train=Succeeded("fraud-train-1", '{"rows": 5000}'))
    assert course.ended
    broken = next(each for each in course.findings if each.state is CheckState.FAILED)
    assert broken.name == "pipeline/evaluate/entry"
    assert broken.found.endswith("does not hold: train.rows = 5000, raw_ingest.rows = 1200")
    assert states(course)["evaluate/job"] == "Skipped"


def test_a_key_that_the_summary_lacks_is_named_with_those_it_has() -> None:
    course = follow(raw_ingest=Succeeded("fraud-ingest-1", '{"rows": 1200, "columns": {"Age": {}}}'))
    broken = next(each for each in course.findings if each.state is CheckState.FAILED)
    assert broken.found.endswith("does not hold: columns has no age; it has: Age")


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (
            Failed("j", "failed: exit code 1 (Error): no data", "kubectl logs job/j"),
            "exit code 1 (Error): no data; see",
        ),
        (
            Failed("j", "did not end within 10m", "kubectl logs job/j"),
            "job j did not end within 10m; see: kubectl logs",
        ),
        (Refused("CronJob fraud-ingest is not suspended"), "CronJob fraud-ingest is not suspended"),
        (Succeeded("j", "rows: 1200"), "expected a JSON object as the termination message, found 'rows: 1200'"),
        (Succeeded("j", ""), "expected a JSON object as the termination message, found none; write it to"),
        (Succeeded("j", "[1, 2]"), "expected a JSON object as the termination message, found '[1, 2]'"),
        (Succeeded("j", '{"rows": NaN}'), "NaN is no JSON; report null, or leave the key out"),
        (Succeeded("j", '{"rows": "' + "x" * 4096 + '"}'), "expected a summary of at most 4096 bytes"),
        (Succeeded("j", '{"rows": ' + "[" * 20 + "]" * 20 + "}"), "expected a summary nested at most 16 deep"),
        (Succeeded("j", '{"rows": ' + "[" * 2000 + "]" * 2000 + "}"), "expected a summary nested at most 16 deep"),
    ],
)
def test_a_job_without_a_summary_fails_in_words(state: JobState, found: str) -> None:
    course = follow(raw_ingest=state)
    assert course.ended
    broken = next(each for each in course.findings if each.state is CheckState.FAILED)
    assert broken.name == "pipeline/raw-ingest/job"
    assert found in broken.found
    assert states(course)["raw-ingest/exit"] == "Skipped"


def test_expressions_are_looked_at_before_any_job_runs() -> None:
    assert check_expressions(components()) is None
    assert check_expressions(()) is None


@pytest.mark.parametrize(
    ("component", "problem"),
    [
        (
            TRAIN | {"entry": ["raw_ingest.rows >="]},
            "spec.verify.pipeline[train].entry[0]: 'raw_ingest.rows >=': at character 19: Syntax error",
        ),
        (
            TRAIN | {"entry": ["ingest.rows > 3"]},
            "undeclared reference to 'ingest.rows'; entry may refer to the components before it: raw_ingest",
        ),
        (TRAIN | {"entry": ["train.rows > 3"]}, "undeclared reference to 'train.rows'"),
        (TRAIN | {"exit": ["rows > 3", "rows.map(a, a) == 3"]}, "pipeline[train].exit[1]: 'rows.map(a, a) == 3'"),
        (TRAIN | {"exit": ["a.all(b, b.all(c, true))"]}, "all is a second loop"),
    ],
)
def test_an_expression_that_cannot_be_used_is_named_with_its_place(component: dict[str, object], problem: str) -> None:
    refusal = check_expressions(components(INGEST, component))
    assert refusal is not None
    assert problem in refusal


def test_the_first_component_has_none_before_it() -> None:
    refusal = check_expressions(components(INGEST | {"entry": ["raw_ingest.rows > 3"]}))
    assert refusal is not None
    assert refusal.endswith("entry may refer to the components before it: there is none")
