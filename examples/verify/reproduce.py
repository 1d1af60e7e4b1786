"""The reproduction: trains again and reports the numbers that were recorded. `python -m examples.verify.reproduce`."""

from examples.verify import digits, model
from examples.verify.digits import Digits
from examples.verify.job import libraries, load_declared, report, seed


def summary(data: Digits, split_seed: int) -> dict[str, object]:
    """Return numbers, and the versions that they depend on, all at the top: `recorded` names them by their keys."""
    known, unseen = digits.split(data, split_seed)
    return model.metrics(model.fit(known), unseen) | libraries() | {"dataDigest": digits.digest(data)}


if __name__ == "__main__":
    report(summary(load_declared(), seed()))
