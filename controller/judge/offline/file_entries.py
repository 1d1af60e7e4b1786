"""What an arm may hold in a file of windows, per kind of metric."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from controller.api.model import ApiModel
from controller.judge.kinds.buckets import BucketArm, common_edges
from controller.judge.kinds.paired import PairArm

__all__ = ["BucketCounts", "Counts", "Entry", "Events", "Factor", "Number", "Pairs", "Share", "Values", "WindowEntry"]


def decimal(value: object) -> Decimal:
    """A decimal in quotes, as in the API, or a plain JSON number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        msg = 'expected a number such as "0.01"'
        raise ValueError(msg)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        msg = 'expected a number such as "0.01"'
        raise ValueError(msg) from error
    if not number.is_finite():
        msg = "expected a finite number"
        raise ValueError(msg)
    return number


Number = Annotated[Decimal, BeforeValidator(decimal)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Factor = Annotated[Number, Field(ge=0, le=1000)]
_Count = Annotated[float, Field(strict=True, ge=0, le=1e15, allow_inf_nan=False)]
"""More than that are not whole numbers any more, and their sums and products may not be finite."""
_Sum = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _edge(value: object) -> object:
    """The last edge, in the three ways in which it is written."""
    return float("inf") if value in ("+Inf", "Inf", "inf") else value


_Edge = Annotated[float, Field(strict=True), BeforeValidator(_edge)]


class Counts(ApiModel):
    """Of a ratio: requests and the bad ones among them."""

    total: _Count
    bad: _Count

    @model_validator(mode="after")
    def _bad_within_total(self) -> Self:
        if self.bad > self.total:
            msg = f"expected bad of at most total ({self.total:g}); found bad {self.bad:g}"
            raise ValueError(msg)
        return self


class Events(ApiModel):
    """Of a rate: events, and what they are set against."""

    count: _Count
    exposure: _Count


class Values(ApiModel):
    """Of a mean: how many values, and their sum."""

    count: _Count
    sum: _Sum


class BucketCounts(ApiModel):
    """Of a histogram or distribution: requests per bucket, not cumulative, and the buckets' upper bounds.

    A distribution over classes has no edges; then all its entries name the same classes in the same order.
    """

    buckets: Annotated[tuple[_Count, ...], Field(min_length=1)]
    edges: tuple[_Edge, ...] = ()

    @model_validator(mode="after")
    def _well_formed(self) -> Self:
        BucketArm(self.buckets, self.edges)
        return self


class Pairs(ApiModel):
    """Of pairs of answers: all of them, those in which this arm was wrong, and those in which it alone was."""

    total: _Count
    bad: _Count
    alone: _Count

    @model_validator(mode="after")
    def _well_formed(self) -> Self:
        PairArm(self.total, self.bad, self.alone)
        return self


Entry = TypeVar("Entry", Counts, Events, Values, BucketCounts, Pairs)


class _Pods(ApiModel, Generic[Entry]):
    pods: Annotated[tuple[Entry, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _pods_alone(cls, content: object) -> object:
        if isinstance(content, dict) and len(content) > 1:
            others = ", ".join(sorted(str(key) for key in content if key != "pods"))
            msg = f"expected either the arm's own counts or pods; found pods and {others}"
            raise ValueError(msg)
        return content


def _form(content: object) -> Literal["arm", "pods"]:
    held = content if isinstance(content, dict) else ()
    return "pods" if "pods" in held or isinstance(content, _Pods) else "arm"


class WindowEntry(ApiModel, Generic[Entry]):
    """One window: each arm's counts, or those of each of its pods; the desired percent, where shares are checked."""

    weight: Annotated[float, Field(strict=True, ge=0, le=100)] | None = None
    stable: Annotated[Annotated[Entry, Tag("arm")] | Annotated[_Pods[Entry], Tag("pods")], Discriminator(_form)]
    candidate: Annotated[Annotated[Entry, Tag("arm")] | Annotated[_Pods[Entry], Tag("pods")], Discriminator(_form)]

    @property
    def stable_sum(self) -> Entry:
        """Stable's counts, those of its pods added up."""
        return summed(self.stable.pods if isinstance(self.stable, _Pods) else (self.stable,))

    @property
    def candidate_sum(self) -> Entry:
        """The candidate's counts, those of its pods added up."""
        return summed(self.candidate.pods if isinstance(self.candidate, _Pods) else (self.candidate,))


def summed(entries: tuple[Entry, ...]) -> Entry:
    """One entry for all pods of an arm; buckets are brought to the edges that all of them have."""
    first = entries[0]
    if len(entries) == 1:
        return first
    if isinstance(first, BucketCounts):
        return _summed_buckets(entries)
    sums = {field: sum(getattr(entry, field) for entry in entries) for field in type(first).model_fields}
    return type(first).model_validate(sums)


def _summed_buckets(entries: tuple[BucketCounts, ...]) -> BucketCounts:
    arms = [BucketArm(entry.buckets, entry.edges) for entry in entries]
    edges = arms[0].edges
    for arm in arms[1:]:
        edges = common_edges(edges, arm.edges)
    if len({len(arm.counts) for arm in arms if not arm.edges}) > 1:
        msg = "expected the same classes for every pod, found different numbers of buckets"
        raise ValueError(msg)
    counts = [(arm.onto(edges) if edges else arm).counts for arm in arms]
    return BucketCounts(buckets=tuple(map(sum, zip(*counts, strict=True))), edges=edges)
