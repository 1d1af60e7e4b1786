"""What the traffic asks: held-out samples with their true label, or made-up ones without."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PIXELS, _BRIGHTEST = 64, 16
"""Of the digits model. Not imported from its module: the traffic runs where scikit-learn is not installed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and, if it is known, its true answer."""

    pixels: Sequence[float]
    label: int | None


def load_samples(path: Path) -> list[Sample]:
    """Read the `holdout.json` that `train` wrote.

    Raises:
        SystemExit: The file is not of that form.
    """
    try:
        document = json.loads(path.read_text())
        return [Sample(row, int(label)) for row, label in zip(document["inputs"], document["labels"], strict=True)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: expected the holdout.json that train writes: {error}") from error


def synthetic_samples(count: int, *, seed: int) -> list[Sample]:
    """Made-up samples: noise in the shape of a digit, for traffic whose answers nobody checks."""
    chance = random.Random(seed)
    return [Sample([chance.randint(0, _BRIGHTEST) for _ in range(_PIXELS)], None) for _ in range(count)]
