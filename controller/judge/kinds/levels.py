"""What the arms' levels are over several windows: each window weighted alike for both, so that ramps cancel."""

from dataclasses import dataclass

from controller.judge._process import PerArm

__all__ = ["Levels"]


@dataclass(frozen=True, slots=True)
class Levels:
    """Amounts by sizes (bad requests by requests, events by exposure), weighted by Mantel and Haenszel.

    Attributes:
        weight: sum of the weights.
        stable: stable's weighted sum.
        candidate: the candidate's weighted sum.
    """

    weight: float = 0.0
    stable: float = 0.0
    candidate: float = 0.0

    def update(self, *, sizes: tuple[float, float], amounts: tuple[float, float]) -> "Levels":
        """The levels with one more window in them, stable first; both sizes above 0."""
        # Products before quotients, so that no level exceeds 1 where no amount exceeds its size.
        n0, n1 = sizes
        total = n0 + n1
        return Levels(
            weight=self.weight + n0 * n1 / total,
            stable=self.stable + amounts[0] * n1 / total,
            candidate=self.candidate + amounts[1] * n0 / total,
        )

    @property
    def rates(self) -> PerArm | None:
        """Both levels; None before the first window. While the sizes keep their proportion: amount by size."""
        return PerArm(self.stable / self.weight, self.candidate / self.weight) if self.weight else None
