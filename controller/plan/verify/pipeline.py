"""The pipeline: Jobs in order, each with what must hold before and after it; the first failure stops.

The course is worked out anew from the states of its Jobs each time, so that nothing has to be remembered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.api.verdicts import CheckState
from controller.api.verify import PipelineComponent
from controller.plan.verify.expression import SUMMARY_NAME, ExpressionError, check_expression, judge
from controller.plan.verify.findings import Finding, JsonValue, Part, first_failed
from controller.plan.verify.jobs import Failed, JobState, Refused, Running, Succeeded
from controller.plan.verify.summaries import Summary, SummaryError, read_summary

ENTRY: Final = "entry"
JOB: Final = "job"
EXIT: Final = "exit"


@dataclass(frozen=True)
class PipelineCourse:
    """How far the pipeline has come: one finding per check, in order.

    ``due`` is the component whose Job has to be made, or looked at again, next; None when the course has ended.
    """

    findings: tuple[Finding, ...]
    due: PipelineComponent | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to run, well or not."""
        return self.due is None


def follow_pipeline(components: Sequence[PipelineComponent], states: Mapping[str, JobState]) -> PipelineCourse:
    """Return how far the pipeline has come; ``states`` are the Jobs that were made so far, by component."""
    findings: list[Finding] = []
    summaries: dict[str, Summary] = {}
    for place, component in enumerate(components):
        step = _follow(component, summaries, states.get(component.name))
        findings += step.findings
        if first_failed(step.findings) is not None:
            return PipelineCourse((*findings, *_never_reached(components[place + 1 :], component)))
        if step.summary is None:
            return PipelineCourse((*findings, *_waiting(components[place + 1 :])), due=component)
        summaries[variable(component.name)] = step.summary
    return PipelineCourse(tuple(findings))


def check_expressions(components: Sequence[PipelineComponent]) -> str | None:
    """Return what is wrong with the first expression that cannot be used, before any Job ran; None when all can."""
    earlier: list[str] = []
    for component in components:
        known = frozenset((*earlier, SUMMARY_NAME))
        for kind, texts, names in ((ENTRY, component.entry, known), (EXIT, component.exit, None)):
            for index, text in enumerate(texts):
                try:
                    check_expression(text, names)
                except ExpressionError as error:
                    place = f"spec.verify.pipeline[{component.name}].{kind}[{index}]"
                    return f"{place}: {text!r}: {error}{_known(kind, earlier)}"
        earlier.append(variable(component.name))
    return None


def variable(component: str) -> str:
    """Return the name of a component in expressions, where ``-`` is a sign: ``_`` stands for it."""
    return component.replace("-", "_")


@dataclass(frozen=True)
class _Step:
    """One component: what was found, and its summary once it ended well."""

    findings: list[Finding] = field(default_factory=list)
    summary: Summary | None = None


def _follow(component: PipelineComponent, summaries: Mapping[str, Summary], state: JobState | None) -> _Step:
    entry = _judge(component, ENTRY, dict(summaries))
    if first_failed(entry) is not None:
        return _Step([*entry, *_skipped(component, f"{ENTRY} of {component.name} failed", JOB, EXIT)])
    job, summary = _job(component, state)
    if summary is None:
        after = "its job failed" if job.state is CheckState.FAILED else ""
        rest = _skipped(component, after, EXIT) if after else _pending(component, EXIT)
        return _Step([*entry, job, *rest])
    return _Step([*entry, job, *_judge(component, EXIT, summary)], summary)


def _judge(component: PipelineComponent, kind: str, values: Mapping[str, JsonValue]) -> list[Finding]:
    """Judge all expressions; one finding, which tells of all that do not hold."""
    texts = component.entry if kind == ENTRY else component.exit
    if not texts:
        return []
    judged = [(text, judge(text, values)) for text in texts]
    broken = [(text, each) for text, each in judged if not each.holds]
    if broken:
        found = "; ".join(f"{text} does not hold: {each.found}" for text, each in broken)
        return [Finding(_name(component, kind), CheckState.FAILED, found, " && ".join(text for text, _ in broken))]
    found = ", ".join(dict.fromkeys(each.found for _, each in judged if each.found))
    return [Finding(_name(component, kind), CheckState.PASSED, found, " && ".join(texts))]


def _job(component: PipelineComponent, state: JobState | None) -> tuple[Finding, Summary | None]:
    """Return how the component's Job stands, and its summary where it ended well and reported one."""
    standing, found, seconds, summary = CheckState.FAILED, "", 0.0, None
    match state:
        case None:
            standing = CheckState.PENDING
        case Running(job, detail):
            standing, found = CheckState.RUNNING, f"job {job} runs {detail}".strip()
        case Failed(job, reason, hint, seconds):
            found = f"job {job} {reason}; see: {hint}"
        case Refused(sentence):
            found = sentence
        case Succeeded(job, message, seconds):
            try:
                standing, found, summary = CheckState.PASSED, f"job {job} ended", read_summary(message)
            except SummaryError as error:
                standing, found = CheckState.FAILED, f"job {job} ended, but: {error}"
    expected = f"a Job from CronJob {component.job_from} that ends well and reports a summary"
    return Finding(_name(component, JOB), standing, found, expected, seconds), summary


def _never_reached(components: Sequence[PipelineComponent], failed: PipelineComponent) -> list[Finding]:
    why = f"{failed.name} failed before"
    return [each for component in components for each in _skipped(component, why, *_checks(component))]


def _waiting(components: Sequence[PipelineComponent]) -> list[Finding]:
    return [each for component in components for each in _pending(component, *_checks(component))]


def _checks(component: PipelineComponent) -> tuple[str, ...]:
    kinds = {ENTRY: bool(component.entry), JOB: True, EXIT: bool(component.exit)}
    return tuple(kind for kind, configured in kinds.items() if configured)


def _skipped(component: PipelineComponent, why: str, *kinds: str) -> list[Finding]:
    configured = [kind for kind in kinds if kind in _checks(component)]
    return [Finding(_name(component, kind), CheckState.SKIPPED, why) for kind in configured]


def _pending(component: PipelineComponent, *kinds: str) -> list[Finding]:
    configured = [kind for kind in kinds if kind in _checks(component)]
    return [Finding(_name(component, kind), CheckState.PENDING) for kind in configured]


def _name(component: PipelineComponent, kind: str) -> str:
    return f"{Part.PIPELINE}/{component.name}/{kind}"


def _known(kind: str, earlier: Sequence[str]) -> str:
    if kind == EXIT:
        return ""
    return f"; entry may refer to the components before it: {', '.join(earlier) or 'there is none'}"
