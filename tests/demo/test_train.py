import json
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from examples.demo.train import broken_promises, train


def test_models_are_what_the_demo_promises(models: Path) -> None:
    accuracies = json.loads((models / "accuracies.json").read_text())
    assert broken_promises(accuracies) == []
    assert 0.92 <= accuracies["v1"] <= 0.97


def test_training_again_gives_the_same_models(models: Path, tmp_path: Path) -> None:
    train(tmp_path)
    for path in models.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_holdout_is_half_of_the_data_with_its_true_labels(holdout: dict[str, list[list[int]]]) -> None:
    pixels, labels = load_digits(return_X_y=True)
    truth = {tuple(int(pixel) for pixel in row): int(label) for row, label in zip(pixels, labels, strict=True)}
    held_out = {tuple(row): label for row, label in zip(holdout["inputs"], holdout["labels"], strict=True)}
    assert len(holdout["inputs"]) == (len(pixels) + 1) // 2
    assert held_out.items() <= truth.items()


@pytest.mark.parametrize(
    ("good", "weaker", "wrong", "complaints"),
    [
        (0.95, 0.91, 0.85, 0),
        (0.94, 0.91, 0.85, 1),
        (0.95, 0.93, 0.85, 1),
        (0.95, 0.91, 0.89, 1),
        (0.95, 0.91, 0.80, 1),
        (0.90, 0.94, 0.95, 3),
    ],
)
def test_broken_promises_are_named(good: float, weaker: float, wrong: float, complaints: int) -> None:
    assert len(broken_promises({"v1": 0.95, "good": good, "weaker": weaker, "wrong": wrong})) == complaints
