"""Expectations of texts. Expressions are RE2's, so that none takes longer than its text is long."""

import re2

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch, shown
from controller.plan.verify.golden.numbers import Test, innermost


class Expression:
    """A compiled RE2 expression."""

    def __init__(self, pattern: str) -> None:
        """Compile the expression.

        Raises:
            ExpectationError: with RE2's own words, when it cannot be read or would be too large.
        """
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled = re2.compile(pattern.encode(errors="replace"), options)
        except re2.error as error:
            said = error.args[0] if error.args else "it cannot be read"
            words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            msg = f"expression {pattern!r} is none of RE2's: {words}"
            raise ExpectationError(msg) from None

    def found_in(self, text: str) -> bool:
        """Whether the expression matches somewhere within the text."""
        return self._compiled.search(text.encode(errors="replace")) is not None

    def matches(self, text: str) -> bool:
        """Whether the expression matches the whole text, as Prometheus matches labels."""
        return self._compiled.fullmatch(text.encode(errors="replace")) is not None


def text_matching(pattern: str) -> Test:
    """Return the test that the expression matches within a text; a list that holds one text is that text."""
    expression = Expression(pattern)

    def test(value: JsonValue, path: str) -> Mismatch | None:
        text = innermost(value)
        if not isinstance(text, str):
            return Mismatch(path, shown(value), f"a text that matches {pattern}")
        return None if expression.found_in(text) else Mismatch(path, shown(text), f"a text that matches {pattern}")

    return test
