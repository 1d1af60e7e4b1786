"""The environments of both arms, compared group by group; every difference in words, values of secrets in none.

Stable's comes first in every sentence: "numpy 1.26.4 against 2.0.1" is stable's 1.26.4 and the candidate's 2.0.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.api.status import EnvironmentPair
from controller.api.verdicts import CheckState
from controller.api.verify import OnMismatch, Parity, ParityGroup
from controller.plan.verify.environment import MODEL_DIGEST, Environment, Fact, Facts, Load
from controller.plan.verify.findings import Finding, Part, shortened

LOAD_TOLERANCE: Final = 0.25
"""How far requests per pod may differ, relative to stable's, before latency is not compared."""

MOST_DIFFERENCES: Final = 40
"""Differences in status; the last line says how many more there are."""
_LONGEST_DIFFERENCE: Final = 240

_TOLD: Final = frozenset({ParityGroup.COMMAND})
"""Groups whose differences are told and not warned of: a new version often starts otherwise."""

_OF_PODS: Final = frozenset({ParityGroup.IMAGES, ParityGroup.SIDECARS, ParityGroup.GPU, ParityGroup.NODES})
"""Groups of which the pod template alone proves nothing."""

_DRIFTING: Final = frozenset({ParityGroup.ENV, ParityGroup.COMMAND, ParityGroup.RESOURCES})
"""Groups whose pods must be as their template says; admission may add to it, but not change it unseen."""

_VOIDING: Final = (ParityGroup.RESOURCES, ParityGroup.GPU, ParityGroup.LOAD)
"""Groups whose differences make one arm faster than the other, whatever the models are."""

_SILENT: Final = {
    ParityGroup.PACKAGES: (
        "no pod template lists its packages; annotate it with modelrollout.dev/packages: numpy==1.26.4,… or with "
        "modelrollout.dev/packages-digest"
    ),
    ParityGroup.RUNTIME: (
        "neither server told its version, and no pod template does; annotate it with "
        "modelrollout.dev/runtime: python==3.11.9,…"
    ),
}
"""Groups in which nothing found is nothing known."""


@dataclass(frozen=True)
class ParityResult:
    """What the comparison found.

    ``latency_void`` says why latency must not be judged, with the way out; None: it may be.
    """

    findings: tuple[Finding, ...]
    environment: EnvironmentPair
    latency_void: str | None = None


@dataclass(frozen=True)
class _Compared:
    """A group as compared, before the policy: each reason to doubt has its own field."""

    group: ParityGroup
    differences: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()
    """Replicas of one arm that run different images."""
    unknown: str = ""
    waiting: str = ""
    skipped: str = ""
    equal: str = ""


def compare(parity: Parity, stable: Environment, candidate: Environment) -> ParityResult:
    """Compare the environments; one finding per group, in the order of ``ParityGroup``.

    ``Failed`` only for a required group with ``onMismatch: Fail``, for replicas of one arm that run different images,
    and for a new version with the old model's digest. ``Pending``: required, and no pod has started yet.
    """
    compared = {group: _group(group, stable, candidate) for group in ParityGroup}
    findings = tuple(
        _model_finding(parity, each, (stable, candidate)) if group is ParityGroup.MODEL else _finding(parity, each)
        for group, each in compared.items()
    )
    lines = [line for each in compared.values() for line in _lines(parity, each)]
    pair = EnvironmentPair(stable=stable.status(), candidate=candidate.status(), differences=_bounded(lines))
    return ParityResult(findings=findings, environment=pair, latency_void=_latency_void(parity, compared))


def _group(group: ParityGroup, stable: Environment, candidate: Environment) -> _Compared:
    if group is ParityGroup.LOAD:
        return _load(stable.load, candidate.load)
    mine, others = _effective(group, stable, candidate)
    differences = [*_differences(mine, others), *_drift(group, "stable", stable)]
    differences += _drift(group, "the candidate", candidate)
    if group is ParityGroup.CONFIG:
        differences += [*stable.stale, *candidate.stale]
    torn = (*_torn(group, "stable", stable), *_torn(group, "the candidate", candidate))
    return _Compared(
        group=group,
        differences=tuple(differences),
        torn=torn,
        unknown=_unknown(group, mine | others, (stable, candidate)),
        waiting=_waiting(group, stable, candidate),
        equal=_equal(group, mine),
    )


def _effective(
    group: ParityGroup, stable: Environment, candidate: Environment
) -> tuple[dict[str, Fact], dict[str, Fact]]:
    """Return both arms' facts: as observed where both arms have pods, else as declared."""
    if stable.pods and candidate.pods:
        return _overlaid(group, stable), _overlaid(group, candidate)
    return dict(stable.declared.get(group, {})), dict(candidate.declared.get(group, {}))


def _overlaid(group: ParityGroup, environment: Environment) -> dict[str, Fact]:
    return {**environment.declared.get(group, {}), **environment.observed.get(group, {})}


def _differences(stable: Facts, candidate: Facts) -> Iterator[str]:
    for name in sorted(stable.keys() | candidate.keys()):
        mine, other = stable.get(name), candidate.get(name)
        if mine is not None and other is not None:
            if not mine.like(other):
                yield _against(name, mine, other)
        elif mine is not None:
            yield f"{_named(name, mine)} only in stable"
        elif other is not None:
            yield f"{_named(name, other)} only in the candidate"


def _against(name: str, mine: Fact, other: Fact) -> str:
    if mine.text and other.text and mine.text != other.text:
        return f"{name} {mine.text} against {other.text}"
    return f"{name} differs"


def _named(name: str, fact: Fact) -> str:
    return f"{name} {fact.text}" if fact.text else name


def _drift(group: ParityGroup, arm: str, environment: Environment) -> Iterator[str]:
    """Yield what an arm's pods have otherwise than their template says."""
    if group not in _DRIFTING:
        return
    declared, observed = environment.declared.get(group, {}), environment.observed.get(group, {})
    for name in sorted(declared.keys() & observed.keys()):
        template, pods = declared[name], observed[name]
        if not template.like(pods):
            shown = f": {template.text} in the template, {pods.text} in pods" if template.text and pods.text else ""
            yield f"pods of {arm} have another {name} than their template{shown}"


def _torn(group: ParityGroup, arm: str, environment: Environment) -> Iterator[str]:
    """Yield the containers whose replicas run different images; digests of different kinds cannot be compared."""
    if group is not ParityGroup.IMAGES:
        return
    for name, fact in sorted(environment.observed.get(group, {}).items()):
        kinds = [mark.partition(":")[0] for mark in fact.marks]
        if len(kinds) > len(set(kinds)):
            yield (
                f"pods of {arm} ({environment.deployment}) run different images behind the same {name}: {fact.text}; "
                f"refer to the image by digest and restart them"
            )


def _unknown(group: ParityGroup, facts: Facts, arms: tuple[Environment, Environment]) -> str:
    reasons = [arm.unknown[group] for arm in arms if group in arm.unknown]
    if not facts and not reasons and group in _SILENT:
        return _SILENT[group]
    return "; ".join(dict.fromkeys(reasons))


def _waiting(group: ParityGroup, stable: Environment, candidate: Environment) -> str:
    if group not in _OF_PODS:
        return ""
    idle = [each.deployment for each in (stable, candidate) if not each.pods]
    return f"no pod of {' and '.join(idle)} has started" if idle else ""


def _equal(group: ParityGroup, facts: Facts) -> str:
    if not facts:
        return "neither arm asks for a GPU" if group is ParityGroup.GPU else "neither arm has any"
    return f"equal ({len(facts)} compared)"


def _load(stable: Load | None, candidate: Load | None) -> _Compared:
    """Compare requests per pod, within ``LOAD_TOLERANCE`` of stable's."""
    mine = stable.per_pod if stable else None
    other = candidate.per_pod if candidate else None
    if stable is None or candidate is None or mine is None or other is None:
        return _Compared(group=ParityGroup.LOAD, skipped="only one arm gets requests")
    words = (
        f"a pod of stable gets {mine:.1f} % of the requests (one of {stable.pods}), "
        f"a pod of the candidate {other:.1f} % (one of {candidate.pods})"
    )
    if abs(other - mine) <= LOAD_TOLERANCE * mine:
        return _Compared(group=ParityGroup.LOAD, equal=words)
    even = max(1, round(candidate.percent / mine))
    advice = "" if even == candidate.pods else f"; about even would be {even} of the candidate"
    return _Compared(group=ParityGroup.LOAD, differences=(f"{words}{advice}",))


def _finding(parity: Parity, compared: _Compared) -> Finding:
    """Hold a compared group against the policy; what is known to differ counts before what is not known."""
    name, expected = f"{Part.PARITY}/{compared.group}", "as in stable, which is named first"
    required = compared.group in parity.require
    if compared.torn:
        return Finding(name, CheckState.FAILED, "; ".join(compared.torn), "one image in all pods of an arm")
    if compared.differences:
        return Finding(name, _state_of_difference(parity, compared.group), "; ".join(compared.differences), expected)
    if compared.unknown:
        state = _demanded(parity) if required else CheckState.UNSUPPORTED
        return Finding(name, state, f"not known: {compared.unknown}", expected)
    if compared.waiting:
        return Finding(name, CheckState.PENDING if required else CheckState.SKIPPED, compared.waiting, expected)
    if compared.skipped:
        return Finding(name, CheckState.SKIPPED, compared.skipped, expected)
    return Finding(name, CheckState.PASSED, compared.equal, expected)


def _state_of_difference(parity: Parity, group: ParityGroup) -> CheckState:
    if group in parity.require:
        return _demanded(parity)
    if group in parity.allow_diff or group in _TOLD:
        return CheckState.PASSED
    return CheckState.WARNED


def _demanded(parity: Parity) -> CheckState:
    return CheckState.FAILED if parity.on_mismatch is OnMismatch.FAIL else CheckState.WARNED


def _model_finding(parity: Parity, compared: _Compared, arms: tuple[Environment, Environment]) -> Finding:
    """Judge the model the other way round: it is expected to differ, unless ``require`` says that it stays.

    A reference that stays the same need not mean the same model (``s3://models/latest``), a digest does; so only the
    latter fails, and only where the rollout says that the version is another one.
    """
    stable, candidate = arms
    name = f"{Part.PARITY}/{ParityGroup.MODEL}"
    if ParityGroup.MODEL in parity.require or ParityGroup.MODEL in parity.allow_diff:
        return _finding(parity, compared)
    expected = "another model than stable's; if only its configuration changes, set require: [Model]"
    if compared.differences:
        return Finding(name, CheckState.PASSED, "; ".join(compared.differences), expected)
    mine, other = _effective(ParityGroup.MODEL, stable, candidate)
    images, new_images = _effective(ParityGroup.IMAGES, stable, candidate)
    if any(_differences(images, new_images)):
        return Finding(name, CheckState.PASSED, "named the same in both arms, but in another image", expected)
    if not mine and not other:
        found = "no template names its model; annotate it with modelrollout.dev/modelDigest"
        return Finding(name, CheckState.UNSUPPORTED, found, expected)
    versions = (stable.version, candidate.version)
    found = f"both arms name the same model: {', '.join(_named(key, fact) for key, fact in sorted(mine.items()))}"
    if None not in versions and stable.version != candidate.version:
        found = f"version {candidate.version} is to replace {stable.version}, yet {found}"
        return Finding(name, CheckState.FAILED if _by_digest(mine) else CheckState.WARNED, found, expected)
    return Finding(name, CheckState.WARNED, found, expected)


def _by_digest(model: Facts) -> bool:
    """Whether the model is named by what it holds, and not only by where it lies."""
    marks = (mark for fact in model.values() for mark in fact.marks)
    return MODEL_DIGEST in model or any(mark.startswith("manifest:") or "@sha256:" in mark for mark in marks)


def _lines(parity: Parity, compared: _Compared) -> Iterator[str]:
    allowed = " (allowed)" if compared.group in parity.allow_diff else ""
    for line in (*compared.torn, *compared.differences):
        yield shortened(f"{compared.group}: {line}{allowed}", _LONGEST_DIFFERENCE)


def _bounded(lines: list[str]) -> tuple[str, ...]:
    if len(lines) <= MOST_DIFFERENCES:
        return tuple(lines)
    return (*lines[: MOST_DIFFERENCES - 1], f"and {len(lines) - MOST_DIFFERENCES + 1} more")


def _latency_void(parity: Parity, compared: dict[ParityGroup, _Compared]) -> str | None:
    """Say why latency must not be judged; a difference that the user allowed is part of what is compared."""
    found = [compared[group] for group in _VOIDING if group not in parity.allow_diff and compared[group].differences]
    if not found:
        return None
    groups = ", ".join(each.group for each in found)
    verb = "differs" if len(found) == 1 else "differ"
    words = shortened("; ".join(line for each in found for line in each.differences))
    return (
        f"latency is not comparable, {groups} {verb}: {words}; make them equal, or accept that with "
        f"verify.parity.allowDiff: [{groups}]"
    )
