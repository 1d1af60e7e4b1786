"""What is known of an arm's environment: facts by group, as declared by its pod template and as observed in its pods.

A fact is compared by its marks. Marks of what may be secret (values of environment variables, content of ConfigMaps
and Secrets) are hashes, and such a fact has no text, so that nothing that is written for people can print the value.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from controller.api.status import EnvironmentStatus
from controller.api.verify import ParityGroup

FINGERPRINT_DIGITS: Final = 16
"""Hex digits of a fingerprint."""
MODEL_DIGEST: Final = "digest"
"""Name of the fact of group Model that holds the digest of the artifact."""


class Likeness(StrEnum):
    """When the values of two arms count as equal: the same ones, or one arm's all among the other's."""

    SAME = "same"
    AMONG = "among"


@dataclass(frozen=True)
class Fact:
    """One thing that is known of an arm; it has several marks when the arm's pods do not agree.

    ``text`` is what people are shown; empty: nothing but that it differs. ``published`` enters the fingerprint instead
    of the marks, where a hash of the value alone would let readers of status try out guesses.
    """

    marks: tuple[str, ...]
    text: str = ""
    likeness: Likeness = Likeness.SAME
    published: tuple[str, ...] = ()

    def like(self, other: "Fact") -> bool:
        """Whether both arms' values count as equal."""
        mine, others = set(self.marks), set(other.marks)
        if self.likeness is Likeness.AMONG:
            return mine <= others or others <= mine
        return mine == others


Facts = Mapping[str, Fact]
"""Facts of one group by name; a name says what it is of, never a Deployment, so that arms have the same names."""

Level = Mapping[ParityGroup, Facts]
"""All that one source (the pod template, or the pods) says."""


@dataclass(frozen=True)
class Load:
    """Requests that an arm is to serve.

    ``pods`` are its ready ones, ``percent`` is its part of the requests.
    """

    pods: int
    percent: float

    @property
    def per_pod(self) -> float | None:
        """Percent of all requests for each pod; None while the arm has no pods or gets no requests."""
        return self.percent / self.pods if self.pods > 0 and self.percent > 0 else None


@dataclass(frozen=True)
class Environment:
    """An arm's environment at one moment."""

    deployment: str
    declared: Level
    observed: Level = field(default_factory=dict)
    pods: int = 0
    """Pods that ``observed`` speaks of: those of the newest template whose containers have started."""
    unknown: Mapping[ParityGroup, str] = field(default_factory=dict)
    """What could not be read, why, and what to do."""
    stale: tuple[str, ...] = ()
    """ConfigMaps and Secrets that were edited after pods had started, in words."""
    load: Load | None = None
    version: str | None = None
    """The model's version, where the rollout names it."""

    def status(self) -> EnvironmentStatus:
        """Return the fingerprints as status shows them.

        Both stay the same over restarts of pods and of the operator, and at any number of pods.
        """
        return EnvironmentStatus(declared=fingerprint(self.declared), observed=fingerprint(self.observed))


def shown(text: str, likeness: Likeness = Likeness.SAME) -> Fact:
    """Return a fact that people may read."""
    return Fact(marks=(text,), text=text, likeness=likeness)


def sealed(content: str | bytes) -> Fact:
    """Return a fact of which nobody learns more than whether it is the same."""
    return Fact(marks=(digest(content),))


def joined(facts: Iterable[Fact]) -> Fact:
    """Return what several pods say of the same thing as one fact; at least one must be given."""
    given = tuple(facts)
    texts = sorted({fact.text for fact in given if fact.text})
    return Fact(
        marks=tuple(sorted({mark for fact in given for mark in fact.marks})),
        text=" and ".join(texts),
        likeness=given[0].likeness,
        published=tuple(sorted({mark for fact in given for mark in fact.published})),
    )


def digest(content: str | bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def canonical(value: object) -> str:
    """Return the one JSON text of a value, whatever the order of its maps."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def fingerprint(level: Level) -> str:
    """Return the hash of all facts of a level, the same for every order and for absent and empty groups."""
    return digest(canonical({str(group): _published(facts) for group, facts in level.items() if facts}))[
        :FINGERPRINT_DIGITS
    ]


def group_fingerprints(level: Level) -> dict[ParityGroup, str]:
    """Return the hash of each group that has facts."""
    return {group: digest(canonical(_published(level[group])))[:FINGERPRINT_DIGITS] for group in level if level[group]}


def _published(facts: Facts) -> dict[str, list[str]]:
    return {name: sorted(fact.published or fact.marks) for name, fact in facts.items()}
