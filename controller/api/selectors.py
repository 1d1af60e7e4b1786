"""PromQL vector selectors as users write them: a metric name with matchers, nothing more.

Anything else (functions, ranges, arithmetic) is refused, because the operator reads raw counters and adds the
namespace and pod matchers itself; that is what confines a rollout to its own namespace.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from controller.api.model import ApiModel

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
_VALUE: Final = r'"([^"\\\n]|\\.)*"'
_MATCHER: Final = rf"{_LABEL}\s*(=~|!~|!=|=)\s*{_VALUE}"
SELECTOR_PATTERN: Final = rf"^\s*({_NAME})?\s*(\{{\s*({_MATCHER}(\s*,\s*{_MATCHER})*\s*,?\s*)?\}})?\s*$"

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
    if not re.fullmatch(SELECTOR_PATTERN, text) or not text.strip(" \t{}"):
        msg = f"{_SELECTOR_MESSAGE}; found {text!r}"
        raise ValueError(msg)
    name, brace, inner = text.strip().partition("{")
    found = re.finditer(rf"({_LABEL})\s*(=~|!~|!=|=)\s*({_VALUE})", inner) if brace else ()
    return Selector(
        name=name.strip(),
        matchers=tuple(Matcher(label=m[1], operator=m[2], value=m[3]) for m in found),
    )


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
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "x-kubernetes-validations": [
                {
                    "rule": f"self.matches(r'''{SELECTOR_PATTERN}''')",
                    "message": _SELECTOR_MESSAGE,
                }
            ],
        }
    ),
]
"""A plain vector selector of a counter."""
