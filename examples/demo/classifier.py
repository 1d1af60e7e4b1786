"""The model as the server sees it: rows of pixels in, digits with their probability out."""

import hashlib
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

PIXELS = 64
"""Numbers per sample: 8 × 8 pixels, row by row, from 0 (white) to 16 (black)."""

BRIGHTEST = 16
"""The largest value of a pixel."""

BATCH = 256
"""Most samples in one request."""

RUNTIME = f"scikit-learn {sklearn.__version__}"
"""Library and release that runs the model."""


class BadInputError(ValueError):
    """The request is at fault; the message says what was expected."""


class InvalidOutputError(RuntimeError):
    """The model answered something that makes no sense and must not be passed on."""


class ServingError(RuntimeError):
    """The server failed to answer a good request."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer: the digit, and the probability (0 to 1) that the model gives it."""

    label: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Version:
    """One version that the demo can serve.

    Attributes:
        artefact: Name of the trained model.
        failing_share: Share of the prediction requests (0 to 1) that fail.
        slowness: How many times as long as for the others its look-up of features takes.
    """

    artefact: str
    failing_share: float = 0.0
    slowness: float = 1.0


VERSIONS = {
    "v1": Version("v1"),
    "same": Version("v1"),
    "good": Version("good"),
    "weaker": Version("weaker"),
    "wrong": Version("wrong"),
    "slow": Version("v1", slowness=1.3),
    "broken": Version("good", failing_share=0.3),
}
"""What `MODEL_VERSION` may say. `broken` predicts as well as `good` whenever it predicts."""

LOOKUP_SPREAD = 0.4
"""Standard deviation of the logarithm of a look-up's time: the slowest 2 % take more than twice the median."""


class Classifier:
    """One version of the digits model, loaded and warm."""

    def __init__(self, version: Version, *, folder: Path, seed: int | None = None, lookup_seconds: float = 0.0) -> None:
        """Load the model and let it predict once.

        Args:
            version: What to serve.
            folder: Where `train` wrote the models.
            seed: Fixes which requests fail and how long they take; None: chance decides.
            lookup_seconds: Median time that a look-up of features takes before each prediction; this server has no
                feature store, so it sleeps.

        Raises:
            FileNotFoundError: The folder has no such model; run `python -m examples.demo.train`.
        """
        path = folder / f"{version.artefact}.joblib"
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._model: LogisticRegression = joblib.load(path)
        self._failing_share = version.failing_share
        self._chance = random.Random(seed)
        self._lookup_seconds = lookup_seconds * version.slowness
        self._model.predict_proba(np.zeros((1, PIXELS)))

    @property
    def labels(self) -> list[int]:
        """Every digit that the model can answer."""
        return [int(label) for label in self._model.classes_]

    @property
    def spec_hash(self) -> str:
        """Hash of what the model takes and gives."""
        spec = {"pixels": PIXELS, "brightest": BRIGHTEST, "labels": self.labels}
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]

    def predict(self, rows: object) -> list[Prediction]:
        """Answer a batch of samples.

        Raises:
            BadInputError: `rows` is not a batch of samples.
            ServingError: This version fails at random, and did now.
            InvalidOutputError: A probability is not a finite number.
        """
        samples = _samples(rows)
        if self._lookup_seconds > 0:
            time.sleep(self.lookup_seconds())
        if self._chance.random() < self._failing_share:
            raise ServingError("feature store: connection lost")
        probabilities = self._model.predict_proba(samples)
        if not np.isfinite(probabilities).all():
            raise InvalidOutputError("nan")
        best = probabilities.argmax(axis=1)
        return [
            Prediction(int(self._model.classes_[answer]), float(row[answer]))
            for row, answer in zip(probabilities, best, strict=True)
        ]

    def lookup_seconds(self) -> float:
        """How long the next look-up of features takes: log-normal around the version's median."""
        return self._lookup_seconds * self._chance.lognormvariate(0.0, LOOKUP_SPREAD)


def _samples(rows: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    try:
        samples = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"expected rows of {PIXELS} numbers: {error}") from error
    if samples.ndim != 2 or samples.shape[1] != PIXELS or not 1 <= len(samples) <= BATCH:
        raise BadInputError(f"expected 1 to {BATCH} rows of {PIXELS} numbers, found shape {list(samples.shape)}")
    if not ((samples >= 0) & (samples <= BRIGHTEST)).all():
        raise BadInputError(f"expected every pixel to be a number from 0 to {BRIGHTEST}")
    return samples
