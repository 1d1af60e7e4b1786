"""The signatures of stable and candidate held against each other: what clients of stable would notice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Whether a tensor goes into the model or comes out of it."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class SignaturePart:
    """One input or output; -1 in a shape is a dimension of any length, an empty shape is not known."""

    name: str
    datatype: str
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return it as people write it."""
        lengths = ", ".join("any" if length < 0 else str(length) for length in self.shape)
        return f"{self.name} {self.datatype}[{lengths}]" if self.shape else f"{self.name} {self.datatype}"


@dataclass(frozen=True)
class SignatureChange:
    """One difference in words.

    ``breaking``: requests that stable takes would be refused, or readers of its answers would fail. ``added_input``:
    so they might, where the input is not optional, which no protocol tells.
    """

    words: str
    breaking: bool
    added_input: bool = False


def signature_changes(
    direction: Direction, *, stable: Sequence[SignaturePart], candidate: Sequence[SignaturePart]
) -> tuple[SignatureChange, ...]:
    """Return what changes from stable to candidate, breaking changes first; nothing where either side is unknown."""
    if not stable or not candidate:
        return ()
    before = {part.name: part for part in stable}
    after = {part.name: part for part in candidate}
    changes = (*_removed(direction, before, after), *_added(direction, before, after), *_kept(direction, before, after))
    return tuple(sorted(changes, key=lambda change: not change.breaking))


_Parts = dict[str, SignaturePart]


def _removed(direction: Direction, before: _Parts, after: _Parts) -> Iterator[SignatureChange]:
    for name, part in before.items():
        if name not in after:
            there = ", ".join(str(each) for each in after.values())
            yield SignatureChange(f"{direction} {part} of stable is missing; the candidate has {there}", breaking=True)


def _added(direction: Direction, before: _Parts, after: _Parts) -> Iterator[SignatureChange]:
    for name, part in after.items():
        if name not in before:
            fresh = direction is Direction.INPUT
            yield SignatureChange(f"{direction} {part} is new", breaking=False, added_input=fresh)


def _kept(direction: Direction, before: _Parts, after: _Parts) -> Iterator[SignatureChange]:
    for name, old in before.items():
        new = after.get(name, old)
        if old.datatype != new.datatype:
            words = f"{direction} {name} is {new.datatype}, stable's is {old.datatype}"
            yield SignatureChange(words, breaking=True)
        elif old.shape and new.shape and old.shape != new.shape:
            words = f"{direction} {new} has another shape than stable's {old}"
            yield SignatureChange(words, breaking=not _fits(direction, old.shape, new.shape))


def _fits(direction: Direction, old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether what fits the one side fits the other: inputs may grow wider, outputs narrower."""
    outer, inner = (new, old) if direction is Direction.INPUT else (old, new)
    return len(old) == len(new) and all(o < 0 or o == i for o, i in zip(outer, inner, strict=True))
