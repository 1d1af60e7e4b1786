"""The port through which a turn has its checks carried out."""

from typing import Protocol

from controller.plan.situation import Situation


class Checks(Protocol):
    """Carries out what ``spec.verify`` asks for."""

    def gather(self, situation: Situation) -> Situation:
        """Begin what is wanted and not begun; return the situation with what was found so far."""

    def let_in(self, situation: Situation) -> None:
        """Open the readiness gate of the pods whose test passed; a gate that cannot be opened is tried again."""


class NoChecks:
    """Nothing can be checked: ``spec.verify`` waits for ever."""

    def gather(self, situation: Situation) -> Situation:
        """Return the situation as it is."""
        return situation

    def let_in(self, situation: Situation) -> None:
        """Do nothing."""
