"""A pod's metrics page: what its counters say, found by the selectors that the judge uses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from controller.api.selectors import Matcher, Selector, parse_selector
from controller.observe.probes.protocols import said
from controller.observe.probes.target import Answer, ProbeError
from controller.plan.verify.findings import shortened
from controller.plan.verify.golden import Expression

_MOST_LINES: Final = 20_000
_LONGEST_LINE: Final = 16_384
_NAME: Final = "__name__"
_SHOWN_NAMES: Final = 8
_TYPE: Final = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) ([a-z]+)")


@dataclass(frozen=True)
class _Sample:
    labels: Mapping[str, str]
    value: float

    @property
    def name(self) -> str:
        return self.labels[_NAME]


@dataclass(frozen=True)
class MetricsPage:
    """The samples of a metrics page; ``counters`` are the names of those that only grow."""

    samples: tuple[_Sample, ...]
    counters: tuple[str, ...]

    @classmethod
    def read(cls, answer: Answer, path: str) -> Self:
        """Read a page in the Prometheus text format.

        Raises:
            ProbeError: another status, no such page, or one that is too long to be read.
        """
        if answer.status != 200:
            msg = f"the metrics page {path} answers {said(answer)}"
            raise ProbeError(msg)
        text = answer.body.decode(errors="replace")
        lines = text.split("\n")
        if len(lines) > _MOST_LINES or max(map(len, lines)) > _LONGEST_LINE:
            msg = (
                f"the metrics page {path} has {len(lines):,} lines, the longest of {max(map(len, lines)):,} characters"
            )
            msg += f"; at most {_MOST_LINES:,} of {_LONGEST_LINE:,} are read"
            raise ProbeError(msg)
        samples = tuple(_samples(lines, path))
        return cls(samples, tuple(sorted(_growing(lines, samples))))

    def total(self, counter: str) -> float | None:
        """Return the sum of the series that a selector picks; None where there is none.

        Matchers of labels that no such series has are passed over: Prometheus adds labels when it scrapes.

        Raises:
            ProbeError: the text is no plain selector.
        """
        try:
            selector = parse_selector(counter)
        except ValueError as error:
            raise ProbeError(str(error)) from None
        return _total(self.samples, selector)

    def similar(self, counter: str) -> str:
        """Return counters that the page does have, those with a similar name first."""
        name = counter.partition("{")[0].strip()
        near = get_close_matches(name, self.counters, n=3, cutoff=0.5)
        listed = [*near, *(each for each in self.counters if each not in near)]
        more = f" and {len(listed) - _SHOWN_NAMES} more" if len(listed) > _SHOWN_NAMES else ""
        return ", ".join(listed[:_SHOWN_NAMES]) + more if listed else "no counter at all"


def _samples(lines: list[str], path: str) -> Iterator[_Sample]:
    """Return the samples; the lines with types are kept from the parser, which would rename counters by them."""
    plain = "\n".join(line for line in lines if not line.startswith("#")) + "\n"
    try:
        for family in text_string_to_metric_families(plain):
            for each in family.samples:
                if isfinite(each.value):
                    yield _Sample({**each.labels, _NAME: each.name}, float(each.value))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        words, start = shortened(str(error), 80), shortened(plain, 60)
        msg = f"the page {path} is not in the Prometheus text format ({words}): {start!r}"
        raise ProbeError(msg) from None


def _growing(lines: list[str], samples: tuple[_Sample, ...]) -> set[str]:
    """Return the names of counters, and of what has no type; of histograms only the count."""
    types = {found[1]: found[2] for line in lines if (found := _TYPE.match(line))}

    def grows(name: str) -> bool:
        base, _, part = name.rpartition("_")
        if types.get(base) in ("histogram", "summary", "counter") and part in ("bucket", "sum", "created"):
            return False
        return types.get(name, types.get(base, "untyped")) not in ("gauge", "info", "stateset")

    return {each.name for each in samples if grows(each.name)}


def _total(samples: tuple[_Sample, ...], selector: Selector) -> float | None:
    named = list(selector.matchers)
    if selector.name:
        named.append(Matcher(label=_NAME, operator="=", value=f'"{selector.name}"'))
    by_name = [each for each in samples if all(_holds(m, each) for m in named if m.label == _NAME)]
    present = {label for each in by_name for label in each.labels}
    rest = [m for m in named if m.label != _NAME and m.label in present]
    picked = [each.value for each in by_name if all(_holds(m, each) for m in rest)]
    return sum(picked) if picked else None


def _holds(matcher: Matcher, sample: _Sample) -> bool:
    found = sample.labels.get(matcher.label, "")
    wanted = _unquoted(matcher.value)
    same = Expression(wanted).matches(found) if "~" in matcher.operator else wanted == found
    return same != matcher.operator.startswith("!")


def _unquoted(text: str) -> str:
    """Return the text of a PromQL literal in double quotes."""
    return text[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
