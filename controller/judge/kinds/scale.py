"""From the unit of a mean to what is judged: higher is worse, and with known bounds a share of "bad" (F1).

A value x between low and high counts as (x − low)/(high − low) of a bad request, or as the rest of one where higher
is better. F1's factor is an exponential of a sum that is linear in x, so it is convex, and its expectation at most
that of a request that is bad with that probability: bounded means keep the guarantee of ratios.
Without bounds there is only the sign to mind.
"""

from dataclasses import dataclass

from controller.api.kinds import Better
from controller.judge._process import Unit
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.ratio import Arm

__all__ = ["MeanScale"]


@dataclass(frozen=True, slots=True)
class MeanScale:
    """How a mean is read.

    Attributes:
        better: which way is good.
        bounds: lowest and highest value there can be, None where they are not known.
    """

    better: Better = Better.LOWER
    bounds: tuple[float, float] | None = None

    @property
    def room(self) -> float:
        """Units per share: the distance of the bounds, 1 without."""
        return 1.0 if self.bounds is None else self.bounds[1] - self.bounds[0]

    def arm(self, count: float, total: float, *, design_effect: float = 1.0) -> Arm | MeanArm:
        """What is judged of ``count`` values with the sum ``total``; only shares are deflated, F3 needs it not.

        Raises:
            ValueError: the sum is beyond what the bounds allow.
        """
        if self.bounds is None:
            return MeanArm(count=count, sum=total if self.better is Better.LOWER else -total)
        low, high = self.bounds
        slack = 1e-9 * max(abs(low), abs(high), 1.0) * max(count, 1.0)
        if not low * count - slack <= total <= high * count + slack:
            msg = f"expected the sum of {count:g} values between {low:g} and {high:g} each, found {total:g}"
            raise ValueError(msg)
        above = (total - low * count) / self.room
        bad = min(max(above if self.better is Better.LOWER else count - above, 0.0), count)
        return Arm(count / design_effect, bad / design_effect, requests=count)

    def judged_level(self, mean: float) -> float:
        """A mean, or a threshold for one, as the judge sees it."""
        if self.bounds is None:
            return mean if self.better is Better.LOWER else -mean
        share = (mean - self.bounds[0]) / self.room
        return share if self.better is Better.LOWER else 1.0 - share

    @property
    def unit(self) -> Unit:
        """How the judged level is read."""
        low, high = self.bounds or (0.0, 1.0)
        if self.better is Better.LOWER:
            return Unit(low, high)
        return Unit(0.0, -1.0) if self.bounds is None else Unit(high, low)
