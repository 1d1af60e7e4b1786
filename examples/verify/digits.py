"""The data of all components: 1797 handwritten digits of 8 × 8 pixels, as scikit-learn ships them."""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_LOSS_SEED = 0
_LOST = 255


class Digits(NamedTuple):
    """Rows of 64 pixels (0 to 16, NaN where one was lost) and the digit that each row shows."""

    pixels: NDArray[np.float64]
    labels: NDArray[np.int64]


class Split(NamedTuple):
    """What the model is trained with, and what it never sees."""

    known: Digits
    unseen: Digits


def load(lost: float = 0.0) -> Digits:
    """Return the data; `lost` is the share of pixels that a bad export lost."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.astype(np.float64)
    if lost:
        pixels[np.random.default_rng(_LOSS_SEED).random(pixels.shape) < lost] = np.nan
    return Digits(pixels, labels.astype(np.int64))


def digest(digits: Digits) -> str:
    """Return the digest of the values, whatever file they came in."""
    content = hashlib.sha256()
    for values in digits:
        content.update(np.where(np.isfinite(values), values, _LOST).astype(np.uint8).tobytes())
    return f"sha256:{content.hexdigest()}"


def split(digits: Digits, seed: int) -> Split:
    """Return two halves; the same seed gives the same ones."""
    parts = train_test_split(*digits, test_size=0.5, random_state=seed, stratify=digits.labels)
    known, unseen, known_labels, unseen_labels = parts
    return Split(Digits(known, known_labels), Digits(unseen, unseen_labels))
