"""Reproduction and pipeline: Jobs that are made once and looked at every turn until they have ended."""

from controller.act.jobs import JobRunner
from controller.plan.situation import Situation
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.verify.jobs import JobOrder, JobState, Refused, Running
from controller.plan.verify.numbers import reproduction_findings
from controller.plan.verify.pipeline import check_expressions, follow_pipeline
from controller.run.verification.orders import ObstacleError, job_order
from controller.run.verification.prober import Prober


class ReproductionCheck:
    """One Job whose numbers must match the recorded ones."""

    def __init__(self, jobs: JobRunner, prober: Prober) -> None:
        self._jobs = jobs
        self._prober = prober

    def __call__(self, situation: Situation, key: CheckKey) -> tuple[Finding, ...]:
        """Return how the Job stands until it has ended."""
        reproduction = situation.spec.verify.reproduction if situation.spec.verify else None
        if reproduction is None:
            return ()
        order = job_order(situation, key, task=str(Part.REPRODUCTION), job_from=reproduction.job_from)
        state = _state(self._jobs, order)
        findings = reproduction_findings(reproduction, state)
        if not isinstance(state, Running):
            self._prober.note(situation.subject.uid, key, Outcome(findings, situation.now))
        return findings


class PipelineCheck:
    """Several Jobs, one after the other."""

    def __init__(self, jobs: JobRunner, prober: Prober) -> None:
        self._jobs = jobs
        self._prober = prober

    def __call__(self, situation: Situation, key: CheckKey) -> tuple[Finding, ...]:
        """Return how far the pipeline has come; Jobs that have ended are looked at, not made again."""
        components = situation.spec.verify.pipeline if situation.spec.verify else ()
        problem = check_expressions(components)
        if problem is not None:
            raise ObstacleError(problem)
        states: dict[str, JobState] = {}
        course = follow_pipeline(components, states)
        while course.due is not None and course.due.name not in states:
            due = course.due
            order = job_order(situation, key, task=f"{Part.PIPELINE}/{due.name}", job_from=due.job_from)
            states[due.name] = _state(self._jobs, order)
            course = follow_pipeline(components, states)
        if course.ended:
            self._prober.note(situation.subject.uid, key, Outcome(course.findings, situation.now))
        return course.findings


def _state(jobs: JobRunner, order: JobOrder) -> JobState:
    state = jobs.ensure(order)
    if isinstance(state, Refused):
        raise ObstacleError(state.sentence)
    return state
