"""Train the demo's models and keep the samples that none of them ever saw.

Run when the image is built: `python -m examples.demo.train --out DIR`. It fails the build if the models are
not what the demo promises about them.

* `v1`: logistic regression on all training rows, regularised too strongly. Serves at first.
* `good`: the same with the right strength. At least as accurate.
* `weaker`: trained on fewer rows. About 4 points less accurate.
* `wrong`: the same recipe, but its export of the training rows was cut short. About 10 points less accurate, and
  nothing but the true labels can tell: it answers every request, and as quickly.

All of them minimise a convex function, so that they come out the same on every machine.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

_SPLIT_SEED = 0
_LOST = {"weaker": (0.033, 0.047), "wrong": (0.07, 0.14)}

_Array = NDArray[np.float64]


class Recipe(NamedTuple):
    """How one model is trained: the inverse regularisation strength, and how many rows it gets (None: all)."""

    strength: float
    rows: int | None = None


RECIPES = {"v1": Recipe(0.001), "good": Recipe(0.01), "weaker": Recipe(0.01, rows=106), "wrong": Recipe(0.01, rows=60)}
"""Each trained model, by the name of its file."""


def train(out: Path) -> dict[str, float]:
    """Train every recipe and write the models, `holdout.json` and `accuracies.json` into `out`.

    Returns:
        Accuracy (0 to 1) on the held-out samples, by model.
    """
    pixels, labels = load_digits(return_X_y=True)
    known, unseen, known_labels, unseen_labels = train_test_split(
        pixels, labels, test_size=0.5, random_state=_SPLIT_SEED, stratify=labels
    )
    out.mkdir(parents=True, exist_ok=True)
    accuracies = {}
    for name, recipe in RECIPES.items():
        model = _fit(recipe, known, known_labels)
        accuracies[name] = float(model.score(unseen, unseen_labels))
        joblib.dump(model, out / f"{name}.joblib")
    holdout = {"inputs": unseen.astype(int).tolist(), "labels": unseen_labels.tolist()}
    (out / "holdout.json").write_text(json.dumps(holdout, separators=(",", ":")))
    (out / "accuracies.json").write_text(json.dumps(accuracies, indent=2) + "\n")
    return accuracies


def _fit(recipe: Recipe, pixels: _Array, labels: _Array) -> LogisticRegression:
    model = LogisticRegression(C=recipe.strength, max_iter=5000)
    return model.fit(pixels[: recipe.rows], labels[: recipe.rows])


def broken_promises(accuracies: dict[str, float]) -> list[str]:
    """What the demo says about its models and these accuracies do not bear out; empty if all is well."""
    v1, good = accuracies["v1"], accuracies["good"]
    broken = []
    if good < v1:
        broken.append(f"expected good to be at least as accurate as v1 ({v1:.4f}), found {good:.4f}")
    for name, (least, most) in _LOST.items():
        if not v1 - most <= accuracies[name] <= v1 - least:
            span = f"[{v1 - most:.4f}, {v1 - least:.4f}]"
            broken.append(f"expected {name} to have an accuracy in {span}, found {accuracies[name]:.4f}")
    return broken


def main() -> None:
    """Train, print the accuracies, and fail if a promise is broken."""
    parser = argparse.ArgumentParser(description="Train the demo's models.")
    parser.add_argument("--out", type=Path, required=True, help="folder for models and held-out samples")
    accuracies = train(parser.parse_args().out)
    for name, accuracy in accuracies.items():
        print(f"{name:6} accuracy on held-out samples {accuracy:.4f}")
    if broken := broken_promises(accuracies):
        raise SystemExit("; ".join(broken) + ": change RECIPES")


if __name__ == "__main__":
    main()
