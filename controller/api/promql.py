"""PromQL of one arm: read as far as is needed to be sure which series it can select.

Wherever a vector selector may stand, the place ``{{selector}}`` must be among its matchers: there the operator puts the
namespace and the pods of an arm. Prometheus joins matchers by *and*, so nothing else in the braces can widen the
selection again, and nothing outside of braces selects series at all. Whatever cannot be read is refused: a grammar that
is narrower than the server's errs on the safe side.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.api.kinds import SELECTOR_PLACE
from controller.api.selectors import Matcher

__all__ = ["ArmQuery", "parse_query"]

_AGGREGATIONS: Final = frozenset(
    {"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile"}
)
_SETS: Final = frozenset({"and", "or", "unless", "atan2"})
_GROUPING: Final = frozenset({"by", "without"})
_MATCHING: Final = frozenset({"on", "ignoring"})
_ONE_SIDED: Final = frozenset({"group_left", "group_right"})
_NUMBERS: Final = frozenset({"inf", "nan"})
_JOINING: Final = frozenset({"info"})
"""Functions that bring in other series by themselves."""
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="})
_MATCHERS: Final = frozenset({"=", "!=", "=~", "!~"})

_TOKENS: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<place>\{\{selector\}\})
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+(?![0-9a-zA-Z_]))
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![0-9a-zA-Z_:.]))
    |(?P<word>(?:[a-zA-Z_]|:(?=[a-zA-Z_:]))[a-zA-Z0-9_:]*)
    |(?P<sign>=~|!~|==|!=|>=|<=|[-+*/%^<>=(){}\[\],@:])
    """,
    re.VERBOSE,
)
_DEEPEST: Final = 32
_SHOWN: Final = 40


@dataclass(frozen=True)
class ArmQuery:
    """A query whose every vector selector holds the place."""

    text: str

    def narrowed(self, *matchers: Matcher) -> str:
        """Return the query of one arm, with its matchers in every place."""
        return self.text.replace(SELECTOR_PLACE, ",".join(f"{m.label}{m.operator}{m.value}" for m in matchers))


def parse_query(text: str) -> ArmQuery:
    """Read a query.

    Raises:
        ValueError: it cannot be read, selects series without the place, or none at all; the message says where.
    """
    reader = _Reader(text)
    reader.expression(0)
    reader.end()
    if not reader.selectors:
        msg = f"selects no series; write for example max(gpu_memory{{{SELECTOR_PLACE}}}); found {_short(text)!r}"
        raise ValueError(msg)
    return ArmQuery(text)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def keyword(self) -> str:
        """The word as PromQL knows its own: in small letters; empty for everything else."""
        return self.text.lower() if self.kind == "word" else ""


class _Reader:
    """A recursive descent through an expression; ``selectors`` counts what it found."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self.selectors = 0

    def expression(self, depth: int) -> None:
        """Read operands with operators between them."""
        if depth > _DEEPEST:
            msg = f"is nested more than {_DEEPEST} deep"
            raise ValueError(msg)
        self._operand(depth)
        while self._token.text in _ARITHMETIC or self._token.keyword in _SETS:
            self._advance()
            self._vector_matching()
            self._operand(depth)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._token.kind != "end":
            self._refuse("the end")

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _following(self) -> _Token:
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def _advance(self) -> None:
        self._next += 1

    def _take(self, text: str) -> None:
        if self._token.text != text or self._token.kind == "string":
            self._refuse(repr(text))
        self._advance()

    def _vector_matching(self) -> None:
        if self._token.keyword == "bool" and self._following.text not in "{(":
            self._advance()
        if self._token.keyword in _MATCHING and self._following.text == "(":
            self._advance()
            self._labels()
            if self._token.keyword in _ONE_SIDED:
                self._advance()
                if self._token.text == "(":
                    self._labels()

    def _operand(self, depth: int) -> None:
        while self._token.text in ("+", "-"):
            self._advance()
        self._primary(depth)
        while self._token.text in ("[", "@") or self._token.keyword == "offset":
            {"[": self._range, "@": self._moment}.get(self._token.text, self._offset)()

    def _primary(self, depth: int) -> None:
        token = self._token
        if token.kind in ("number", "string"):
            self._advance()
        elif token.text == "(" and token.kind == "sign":
            self._arguments(depth)
        elif token.text == "{" and token.kind == "sign":
            self._selector()
        elif token.kind == "word":
            self._named(token, depth)
        else:
            self._refuse("a selector, a function or a number")

    def _named(self, token: _Token, depth: int) -> None:
        """Read what begins with a name; a name alone selects the series of every namespace."""
        self._advance()
        aggregates = token.keyword in _AGGREGATIONS
        if self._token.text == "{":
            self._selector()
        elif self._token.text == "(" or (aggregates and self._token.keyword in _GROUPING):
            if token.keyword in _JOINING:
                msg = f"must not use {token.text}(), which joins series of its own choice"
                raise ValueError(msg)
            self._call(depth, aggregates=self._grouping if aggregates else None)
        elif token.keyword not in _NUMBERS:
            msg = (
                f"must hold {SELECTOR_PLACE} in each selector; {_short(token.text)} at character {token.at + 1} has "
                f"none: write {_short(token.text)}{{{SELECTOR_PLACE}}}"
            )
            raise ValueError(msg)

    def _call(self, depth: int, *, aggregates: Callable[[], None] | None) -> None:
        if aggregates is not None:
            aggregates()
        self._arguments(depth)
        if aggregates is not None:
            aggregates()

    def _arguments(self, depth: int) -> None:
        self._take("(")
        while self._token.text != ")":
            self.expression(depth + 1)
            if self._token.text != ",":
                break
            self._advance()
        self._take(")")

    def _grouping(self) -> None:
        if self._token.keyword in _GROUPING:
            self._advance()
            self._labels()

    def _labels(self) -> None:
        self._take("(")
        while self._token.kind == "word":
            self._advance()
            if self._token.text != ",":
                break
            self._advance()
        self._take(")")

    def _selector(self) -> None:
        """Read matchers separated by commas and nothing else: some servers know an *or* in here."""
        begin, places = self._token, 0
        self._take("{")
        while self._token.text != "}":
            places += self._matcher()
            if self._token.text != ",":
                break
            self._advance()
        self._take("}")
        if not places:
            found = f"the one at character {begin.at + 1} has none: {_short(self._text[begin.at :])!r}"
            msg = f"must hold {SELECTOR_PLACE} in each selector; {found}"
            raise ValueError(msg)
        self.selectors += 1

    def _matcher(self) -> int:
        """Read one matcher; return whether it is the place."""
        if self._token.kind == "place":
            self._advance()
            return 1
        if self._token.kind != "word":
            self._refuse(f"a label or {SELECTOR_PLACE}")
        self._advance()
        if self._token.text not in _MATCHERS:
            self._refuse("=, !=, =~ or !~")
        self._advance()
        if self._token.kind != "string":
            self._refuse("a string")
        self._advance()
        return 0

    def _range(self) -> None:
        self._take("[")
        self._span()
        if self._token.text == ":":
            self._advance()
            if self._token.kind == "duration":
                self._advance()
        self._take("]")

    def _offset(self) -> None:
        self._advance()
        if self._token.text == "-":
            self._advance()
        self._span()

    def _span(self) -> None:
        if self._token.kind != "duration":
            self._refuse("a duration such as 5m")
        self._advance()

    def _moment(self) -> None:
        self._take("@")
        if self._token.text == "-":
            self._advance()
        if self._token.kind == "number":
            self._advance()
        elif self._token.keyword in ("start", "end"):
            self._advance()
            self._take("(")
            self._take(")")
        else:
            self._refuse("a time, start() or end()")

    def _refuse(self, expected: str) -> None:
        token = self._token
        found = "its end" if token.kind == "end" else repr(_short(self._text[token.at :]))
        msg = f"cannot be read at character {token.at + 1}: expected {expected}, found {found}"
        raise ValueError(msg)


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None or found.lastgroup is None:
            msg = f"cannot be read at character {at + 1}: {_short(text[at:])!r}"
            raise ValueError(msg)
        if found.lastgroup == "string" and SELECTOR_PLACE in found[0]:
            msg = f"must not hold {SELECTOR_PLACE} in a string: {_short(found[0])}"
            raise ValueError(msg)
        if found.lastgroup != "space":
            tokens.append(_Token(found.lastgroup, found[0], at))
        at = found.end()
    return [*tokens, _Token("end", "", len(text))]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
