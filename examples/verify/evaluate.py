"""Third component: measures on rows that the model never saw. `python -m examples.verify.evaluate`."""

from examples.verify import digits, model
from examples.verify.digits import Digits
from examples.verify.job import load_declared, report, seed


def summary(data: Digits, split_seed: int) -> dict[str, object]:
    """Return how good the model is."""
    known, unseen = digits.split(data, split_seed)
    return {"rows": len(unseen.labels), "metrics": model.metrics(model.fit(known), unseen)}


if __name__ == "__main__":
    report(summary(load_declared(), seed()))
