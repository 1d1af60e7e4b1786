"""PromQL vector selectors as users write them: a metric name with matchers, nothing more.

Anything else (functions, ranges, arithmetic) is refused, because the operator reads raw counters and adds the
namespace and pod matchers itself; that is what confines a rollout to its own namespace.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from controller.api.model import ApiModel
from controller.api.scalars import described, matches

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
_VALUE: Final = r'"([^"\\\n]|\\.)*"'
_SPACE: Final = r"[ \t\r\n]*"
_OPERATOR: Final = rf"{_SPACE}(=~|!~|!=|=){_SPACE}"
_MATCHER: Final = rf"{_LABEL}{_OPERATOR}{_VALUE}"
_MATCHERS: Final = rf"\{{{_SPACE}({_MATCHER}({_SPACE},{_SPACE}{_MATCHER})*{_SPACE},?{_SPACE})?\}}"
SELECTOR_PATTERN: Final = rf"^{_SPACE}({_NAME})?{_SPACE}({_MATCHERS})?{_SPACE}$"
LONGEST: Final = 1024
"""Characters of a selector, at most."""

_SOMETHING: Final = r"[a-zA-Z_:]"
"""Neither a name nor a matcher can do without; ``{}`` selects everything and is refused."""

_SELECTOR_MESSAGE: Final = (
    'must be a plain PromQL selector such as requests_total{code="500"}: a counter name with matchers in double '
    "quotes, without functions, ranges or arithmetic"
)


class Matcher(ApiModel):
    """One label matcher; ``value`` is the quoted PromQL string, quotes included."""

    label: str
    operator: str
    value: str


class Selector(ApiModel):
    """A parsed vector selector; ``name`` is empty when only matchers select the series."""

    name: str
    matchers: tuple[Matcher, ...]

    def narrowed(self, *matchers: Matcher) -> str:
        """Return the selector as PromQL with further matchers added, which can only narrow it."""
        inner = ",".join(f"{m.label}{m.operator}{m.value}" for m in (*self.matchers, *matchers))
        return f"{self.name}{{{inner}}}"


def parse_selector(text: str) -> Selector:
    """Take a vector selector apart.

    Raises:
        ValueError: when the text is anything but a plain selector.
    """
    if len(text) > LONGEST or not re.fullmatch(SELECTOR_PATTERN, text) or not re.search(_SOMETHING, text):
        msg = f"{_SELECTOR_MESSAGE}; found {text!r}"
        raise ValueError(msg)
    name, brace, inner = text.strip().partition("{")
    found = re.finditer(rf"({_LABEL}){_OPERATOR}({_VALUE})", inner) if brace else ()
    return Selector(
        name=name.strip(),
        matchers=tuple(Matcher(label=m[1], operator=m[2], value=m[3]) for m in found),
    )


def naming(*labels: str) -> str:
    """Return the pattern of those selectors that have a matcher for one of the labels."""
    return rf"^[^{{]*\{{{_SPACE}({_MATCHER}{_SPACE},{_SPACE})*({'|'.join(labels)}){_OPERATOR}"


def quoted(text: str) -> str:
    """Return the text as a PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _checked(text: str) -> str:
    parse_selector(text)
    return text


SelectorString = Annotated[
    str,
    AfterValidator(_checked),
    WithJsonSchema(
        described(f"{matches(SELECTOR_PATTERN)} && {matches(_SOMETHING)}", _SELECTOR_MESSAGE, longest=LONGEST)
    ),
]
"""A plain vector selector of a counter."""
