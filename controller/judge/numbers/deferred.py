"""What windows amount to, computed when somebody asks: most of it is never asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Deferred"]

S = TypeVar("S")
N = TypeVar("N")


@dataclass(frozen=True, slots=True, eq=False)
class _Noted(Generic[S, N]):
    """Something that is not folded yet, and all that came before it."""

    before: "Deferred[S, N]"
    note: N


@dataclass(slots=True, eq=False)
class Deferred(Generic[S, N]):
    """A fold over notes; ``noting`` returns the next one, and what this one amounts to stays as it is.

    Attributes:
        state: what the notes amount to, or the newest of them as long as nobody has asked.
    """

    state: S | _Noted[S, N]

    def noting(self, note: N) -> "Deferred[S, N]":
        """The same with one more note."""
        return Deferred(_Noted(self, note))

    def result(self, fold: Callable[[S, Sequence[N]], S]) -> S:
        """What all notes amount to.

        Args:
            fold: the state after more notes; always the same one, and it must not matter how many come at once.
        """
        notes: list[N] = []
        state = self.state
        while isinstance(state, _Noted):
            notes.append(state.note)
            state = state.before.state
        if notes:
            notes.reverse()
            state = self.state = fold(state, notes)
        return state
