"""Who belongs to which arm: the matchers that confine a query, and which series may be counted in a window.

Arms are told by their pods: by the exact names of the live ones, and by the pattern in which a Deployment names its
pods for those that died meanwhile. Where series carry no pods (collectors, meshes), a label tells them apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, Protocol

from controller.api.selectors import Matcher, parse_selector, quoted
from controller.api.spec import ArmLabels, Labels
from controller.api.verdicts import Kind
from controller.judge import Calibration
from controller.observe.counters import Edges, End, Scrapes, Series, Target
from controller.plan.counters import LE
from controller.plan.world import ArmName, Pod

# Kubernetes writes the digits of a template's hash and the random ends of names in letters that form no words.
_HASH: Final = "[4-9bcdf]{6,10}"
_RANDOM: Final = "[2456789bcdfghjklmnpqrstvwxz]{5}"

LONGEST_REACH: Final = timedelta(minutes=10)
"""How far before a window a dead pod's life is looked at, at most; longer warm-ups are taken as that long for it."""

_COUNTS_REQUESTS: Final = frozenset({Kind.RATIO, Kind.RATE, Kind.MEAN, Kind.HISTOGRAM, Kind.DISTRIBUTION})
"""Kinds whose ``total`` grows by one with each request, or in proportion."""


@dataclass(frozen=True)
class MetricQuestion:
    """One metric: its selectors as the user (or a preset) wrote them, and how its arms are told apart.

    Attributes:
        name: the metric's name.
        bad: selector of what is counted: bad requests, a rate's events, a mean's sum; empty for buckets and queries.
        total: selector of what that is set against: requests, exposure, values, or the buckets; empty for a query.
        allow_absent: whether the ``bad`` series may never have existed.
        arms: a label that tells the arms apart, where pods do not.
        kind: what the metric is made of.
        label: of buckets: the label that tells them.
        query: PromQL of one arm, with the place for its selector.
        bounds: of a mean: between which numbers every value lies, where that is known.
        slices: labels by whose values the metric is looked at in parts as well.
        label_delay: how late labels arrive, where ``total`` counts those.
        cohort: the label that tells when the prediction was made; see ``labels``.
        label_lag: how late labels came before the epoch, as far as that is known.
        among: what else the series of both counters must match.
        calibration: what the counts of each pod are worth; None: as they are.
        inflation: how much more the candidate's pods scattered in earlier windows than calibrated, at least 1.
    """

    name: str
    bad: str
    total: str
    allow_absent: bool
    arms: ArmLabels | None = None
    kind: Kind = Kind.RATIO
    label: str = LE
    query: str = ""
    bounds: tuple[float, float] | None = None
    slices: tuple[str, ...] = ()
    label_delay: timedelta | None = None
    cohort: str | None = None
    label_lag: timedelta = timedelta(0)
    among: tuple[Matcher, ...] = ()
    calibration: Calibration | None = None
    inflation: float = 1.0


@dataclass(frozen=True)
class Question:
    """What is asked in a window: the metrics, and who was in which arm.

    ``requests`` is the counter for the observed weight; absent, it is that of the first metric that counts requests.
    ``weight`` is the desired percent, ``reachable`` what pod counts allow of it, ``applied_at`` since when it holds,
    ``diverted_at`` when the candidate got its first requests in this epoch. ``dealt`` gives stable's own pods to both
    arms, for comparing a model with itself on past requests; empty: by Deployment.
    """

    namespace: str
    labels: Labels
    metrics: tuple[MetricQuestion, ...]
    requests: str | None
    stable_deployment: str
    candidate_deployment: str
    stable_pods: tuple[Pod, ...]
    candidate_pods: tuple[Pod, ...]
    warmup: timedelta
    diverted_at: datetime | None
    weight: int
    reachable: float | None = None
    applied_at: datetime | None = None
    dealt: Mapping[str, ArmName] = field(default_factory=dict)

    def requests_counter(self) -> tuple[str, ArmLabels | None] | None:
        """Return the counter of all requests, and how its arms are told apart; None where no metric counts any.

        A metric whose labels come late is the last that is taken: its labels are fewer than the requests.
        """
        if self.requests is not None:
            told = next((metric.arms for metric in self.metrics if metric.total == self.requests), None)
            return self.requests, told
        countable = [metric for metric in self.metrics if metric.kind in _COUNTS_REQUESTS]
        ranked = sorted(countable, key=lambda each: (each.label_delay is not None, each.kind is not Kind.RATIO))
        return (_all_of(ranked[0]), ranked[0].arms) if ranked else None

    def pods(self, arm: ArmName) -> tuple[Pod, ...]:
        """Return the live pods of an arm."""
        return self.stable_pods if arm is ArmName.STABLE else self.candidate_pods

    def warm_at(self, pod: Pod, arm: ArmName) -> float | None:
        """Return when a live pod's warm-up ends, in Unix seconds; None while it was never ready.

        The same rule for both arms: a time from the moment at which requests could first reach it, never renewed.
        """
        if pod.ready_at is None:
            return None
        diverted = self.diverted_at if arm is ArmName.CANDIDATE else None
        return (max(pod.ready_at, diverted or pod.ready_at) + self.warmup).timestamp()


@dataclass(frozen=True)
class Census:
    """Whose series of an arm count in a window.

    ``counted`` are the targets, ``warming`` tells that there are others whose warm-up has not ended, ``gap`` why the
    window cannot be judged although they count, ``from_zero`` the pods of which every series began inside.
    """

    counted: frozenset[Target] = frozenset()
    warming: bool = False
    gap: str | None = None
    from_zero: frozenset[str] = field(default=frozenset())


class Arms(Protocol):
    """How series are given to arms."""

    def matchers(self, *arms: ArmName) -> tuple[Matcher, ...]:
        """Return what narrows a selector to the rollout's namespace and those arms."""

    def arm(self, labels: Mapping[str, str]) -> ArmName | None:
        """Return whose series that is."""

    def census(self, arm: ArmName, *, total: tuple[Series, ...], scrapes: Scrapes, edges: Edges) -> Census:
        """Return whose series count, given the arm's own series of ``total`` and when its targets were scraped."""


def arms_of(question: Question, labels: ArmLabels | None) -> Arms:
    """Return how the arms of a metric are told apart."""
    return PodArms(question) if labels is None else LabelArms(question, labels)


def pod_pattern(deployment: str) -> str:
    """Return a regular expression for the names of a Deployment's pods, to be matched as a whole.

    Both last parts are spelt out, so that ``fraud`` never takes the pods of ``fraud-v2``. Deployments with names of
    more than 46 characters give shortened names to their pods, which it does not find.
    """
    return f"{re.escape(deployment)}-{_HASH}-{_RANDOM}"


class PodArms:
    """Arms told by the pods of their Deployments."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._live = {arm: {pod.name: pod for pod in question.pods(arm)} for arm in ArmName}
        deployments = {
            ArmName.STABLE: question.stable_deployment,
            ArmName.CANDIDATE: question.candidate_deployment,
        }
        self._patterns = {arm: re.compile(pod_pattern(deployment)) for arm, deployment in deployments.items()}

    def matchers(self, *arms: ArmName) -> tuple[Matcher, ...]:
        """Return the namespace's matcher and one for the pods."""
        names = {re.escape(name) for arm in arms for name in self._live[arm] if not self._patterns[arm].fullmatch(name)}
        patterns = dict.fromkeys(self._patterns[arm].pattern for arm in arms)
        alternatives = "|".join([*patterns, *sorted(names)])
        pods = Matcher(label=self._question.labels.pod, operator="=~", value=quoted(alternatives))
        return (namespace_of(self._question), pods)

    def arm(self, labels: Mapping[str, str]) -> ArmName | None:
        """Return the arm of the pod; a live pod's name decides before any pattern."""
        pod = labels.get(self._question.labels.pod, "")
        if self._question.dealt:
            return self._question.dealt.get(pod)
        by_name = (arm for arm in ArmName if pod in self._live[arm])
        by_pattern = (arm for arm in ArmName if self._patterns[arm].fullmatch(pod))
        return next(by_name, None) or next(by_pattern, None)

    def census(self, arm: ArmName, *, total: tuple[Series, ...], scrapes: Scrapes, edges: Edges) -> Census:
        """Count live pods that were warm at the start, and dead ones that had been seen long enough before it."""
        live = self._live[arm]
        dead = {pod for pod in scrapes.pods() - live.keys() if self.arm({self._question.labels.pod: pod}) is arm}
        counted = {name for name, pod in live.items() if self._counts(pod, arm, edges)}
        counted |= {pod for pod in dead if self._counted_dead(pod, arm, scrapes=scrapes, edges=edges)}
        born = {name for name in counted & live.keys() if _later(live[name].ready_at, edges.start)}
        with_total = {each.target(self._question.labels.pod) for each in total}
        steady = {name for name in counted - born if name in live and live[name].ready}
        complaints = chain(
            (_complaint(pod, with_total, scrapes=scrapes, edges=edges) for pod in sorted(steady)),
            (_last_words(pod, scrapes=scrapes, edges=edges) for pod in sorted(counted - born - steady)),
        )
        return Census(
            counted=frozenset(target for pod in counted for target in scrapes.targets(pod)),
            warming=bool((live.keys() | dead) - counted),
            gap=next((complaint for complaint in complaints if complaint), None),
            from_zero=frozenset(born),
        )

    def _counts(self, pod: Pod, arm: ArmName, edges: Edges) -> bool:
        warm_at = self._question.warm_at(pod, arm)
        if warm_at is None:
            return False
        # Without a warm-up nothing is left out, not even of pods that were born inside the window.
        return warm_at <= edges.start or (not self._question.warmup and warm_at <= edges.end)

    def _counted_dead(self, pod: str, arm: ArmName, *, scrapes: Scrapes, edges: Edges) -> bool:
        """When it became ready is no longer known; its first scrape stands for that."""
        question = self._question
        warmup = min(question.warmup, LONGEST_REACH).total_seconds()
        born = scrapes.born(pod)
        if arm is ArmName.CANDIDATE and question.diverted_at is not None:
            diverted_warm = (question.diverted_at + question.warmup).timestamp()
        else:
            diverted_warm = edges.start
        return born is not None and born + warmup <= edges.start and diverted_warm <= edges.start


class LabelArms:
    """Arms told by a label of the series; pods are not known, so each target must be there at both edges."""

    def __init__(self, question: Question, labels: ArmLabels) -> None:
        self._question = question
        self._label = labels.label
        self._values = {ArmName.STABLE: labels.stable, ArmName.CANDIDATE: labels.candidate}

    def matchers(self, *arms: ArmName) -> tuple[Matcher, ...]:
        """Return the namespace's matcher and one for the label's values."""
        alternatives = "|".join(re.escape(self._values[arm]) for arm in arms)
        return (namespace_of(self._question), Matcher(label=self._label, operator="=~", value=quoted(alternatives)))

    def arm(self, labels: Mapping[str, str]) -> ArmName | None:
        """Return the arm with that value of the label."""
        return next((arm for arm, value in self._values.items() if labels.get(self._label) == value), None)

    def census(self, arm: ArmName, *, total: tuple[Series, ...], scrapes: Scrapes, edges: Edges) -> Census:
        """Count everything once a live pod of the arm is warm; who of them sent which request is not known."""
        return census_of_targets(self._question, arm, total=total, scrapes=scrapes, edges=edges)


def census_of_targets(
    question: Question, arm: ArmName, *, total: tuple[Series, ...], scrapes: Scrapes, edges: Edges
) -> Census:
    """Return the census where series carry no pods: every target, once a live pod of the arm is warm."""
    ends = [question.warm_at(pod, arm) for pod in question.pods(arm)]
    if ends and not any(end is not None and end <= edges.start for end in ends):
        return Census(warming=True)
    targets = {each.target(question.labels.pod) for each in total}
    complaints = (_label_complaint(target, scrapes=scrapes, edges=edges) for target in sorted(targets))
    return Census(
        counted=frozenset(target for pod in scrapes.pods() for target in scrapes.targets(pod)),
        gap=next((complaint for complaint in complaints if complaint), None),
    )


def _all_of(metric: MetricQuestion) -> str:
    """Return the counter of all requests of a metric: of a histogram that of its last bucket."""
    if metric.kind not in (Kind.HISTOGRAM, Kind.DISTRIBUTION) or metric.label != LE:
        return metric.total
    return parse_selector(metric.total).narrowed(Matcher(label=LE, operator="=", value=quoted("+Inf")))


def namespace_of(question: Question) -> Matcher:
    """Return what confines a selector to the rollout's namespace."""
    return Matcher(label=question.labels.namespace, operator="=", value=quoted(question.namespace))


def _later(moment: datetime | None, edge: float) -> bool:
    return moment is not None and moment.timestamp() > edge


def _complaint(pod: str, with_total: set[Target], *, scrapes: Scrapes, edges: Edges) -> str | None:
    """Say why the counts of a pod that serves are not known, if they are not.

    Only targets that export the counter matter; while none does (no request yet), all of them must have been scraped.
    """
    known = scrapes.targets(pod)
    targets = [target for target in known if target in with_total] or known
    if not targets:
        return (
            f"Prometheus has no sample of pod {pod} around this window; check that it scrapes the pod and sets the "
            "labels that spec.analysis.labels names"
        )
    ages = [(target, end, scrapes.age(target, edges.at(end))) for target in targets for end in End]
    return next((_stale(f"pod {pod}", end, age, edges) for _, end, age in ages if not edges.fresh(age)), None)


def _last_words(pod: str, *, scrapes: Scrapes, edges: Edges) -> str | None:
    """Say why the counts of a pod that died or is not ready are not known; it need not be there at the end."""
    ages = [scrapes.age(target, edges.start) for target in scrapes.targets(pod) if scrapes.inside(target, edges)]
    return next((_stale(f"pod {pod}", End.START, age, edges) for age in ages if not edges.fresh(age)), None)


def _label_complaint(target: Target, *, scrapes: Scrapes, edges: Edges) -> str | None:
    """Say why the counts of a target are not known; one that ended before the window does not matter."""
    ages = {end: scrapes.age(target, edges.at(end)) for end in End}
    if not edges.fresh(ages[End.START]) and not scrapes.inside(target, edges):
        return None
    name = "target " + (target[2] or target[0] or target[1] or "without labels")
    return next((_stale(name, end, age, edges) for end, age in ages.items() if not edges.fresh(age)), None)


def _stale(name: str, end: End, age: float | None, edges: Edges) -> str:
    found = "had not been scraped" if age is None else f"had last been scraped {age:.1f} s before"
    return (
        f"{name} {found} at the window's {end}, at most {edges.patience:g} s are allowed; check the scrapes of "
        "Prometheus"
    )
