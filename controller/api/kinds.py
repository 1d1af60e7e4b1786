"""The kinds of metric: which counters each is made of, and in which direction it gets worse."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import DECIMAL_PATTERN, DecimalString, LabelName, described
from controller.api.selectors import SelectorString, naming, parse_selector
from controller.api.verdicts import Kind

__all__ = ["Better", "Bounds", "Distribution", "Histogram", "Kind", "Mean", "Paired", "QueryString", "Rate", "Ratio"]

PAIR_LABELS: Final = ("stable", "candidate")
"""The labels of a pair: whether that arm's answer was correct or incorrect."""

SELECTOR_PLACE: Final = "{{selector}}"
"""What stands for the namespace and pods of an arm in a query."""

_QUERY_MESSAGE: Final = (
    'must hold {{selector}} inside of braces, for example max(gpu_memory{{{selector}},device="0"}): the operator puts '
    "the namespace and the pods of one arm there"
)
_LONGEST_QUERY: Final = 1024


class Ratio(ApiModel):
    """Two counters: bad requests and all requests."""

    bad: Annotated[SelectorString, Field(description="Counter of the bad ones.")]
    total: Annotated[SelectorString, Field(description="Counter of all.")]


class Rate(ApiModel):
    """Events per exposure: a counter of events that may happen more than once, and what they are set against."""

    count: Annotated[SelectorString, Field(description="Counter of the events, for example exceptions.")]
    exposure: Annotated[SelectorString, Field(description="Counter that they are set against, for example requests.")]


class Better(StrEnum):
    """Which way is good."""

    LOWER = "Lower"
    HIGHER = "Higher"


class Bounds(ApiModel):
    """Between which numbers every single value lies, whatever the model does."""

    low: Annotated[DecimalString, Field(description="Lowest value there can be.")] = Decimal(0)
    high: Annotated[DecimalString, Field(description="Highest value there can be.")]

    @rule(
        f"![self.low, self.high].all(x, x.matches(r'''{DECIMAL_PATTERN}''')) || double(self.low) < double(self.high)",
        "bounds must have a low that is below high",
    )
    def _some_room(self) -> bool:
        return self.low < self.high


class Mean(ApiModel):
    """A mean: the sum of the values and their number, as histograms and summaries export them."""

    sum: Annotated[SelectorString, Field(description="Counter of the sum, for example request_cost_sum.")]
    count: Annotated[SelectorString, Field(description="Counter of the values, for example request_cost_count.")]
    better: Annotated[Better, Field(description="Which way is good: Lower (cost) or Higher (score).")] = Better.LOWER
    bounds: Annotated[
        Bounds | None,
        Field(description="Where every value lies in between: the comparison then needs fewer requests."),
    ] = None


class Histogram(ApiModel):
    """A classic histogram of which higher values are worse, for example latency."""

    buckets: Annotated[
        SelectorString, Field(description="Its _bucket series, for example request_duration_seconds_bucket.")
    ]


class Distribution(ApiModel):
    """How values or classes are distributed: changed?"""

    buckets: Annotated[
        SelectorString, Field(description="_bucket series of a classic histogram, or a counter per class.")
    ]
    label: Annotated[
        LabelName, Field(description="Label that tells the buckets: le for a histogram, else that of the class.")
    ] = "le"
    floor: Annotated[
        DecimalString,
        Field(description="Population stability index below which a change is too small to matter."),
    ] = Decimal("0.1")


class Paired(ApiModel):
    """Pairs of answers: whatever compares the answers of both arms to the same request counts them."""

    counter: Annotated[
        SelectorString,
        Field(description="Counter with labels stable and candidate, each correct or incorrect: mlr_pair_total."),
    ]

    @rule(
        f"!self.counter.matches(r'''{naming(*PAIR_LABELS)}''')",
        "counter must have no matcher for the labels stable and candidate: pairs that are left out are not compared",
    )
    def _all_pairs(self) -> bool:
        return not any(matcher.label in PAIR_LABELS for matcher in parse_selector(self.counter).matchers)


def _with_place(text: str) -> str:
    if len(text) > _LONGEST_QUERY or SELECTOR_PLACE not in text:
        msg = f"{_QUERY_MESSAGE}; found {text!r}"
        raise ValueError(msg)
    return text


QueryString = Annotated[
    str,
    AfterValidator(_with_place),
    WithJsonSchema(described(f"self.contains('{SELECTOR_PLACE}')", _QUERY_MESSAGE, longest=_LONGEST_QUERY)),
]
"""PromQL of one arm, with ``{{selector}}`` where its namespace and pods belong."""
