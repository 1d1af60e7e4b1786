"""Second component: trains. `python -m examples.verify.train`.

A pipeline of your own would hand data and model on through a bucket; this one is small enough to begin anew each time.
"""

from examples.verify import digits, model
from examples.verify.digits import Digits
from examples.verify.job import libraries, load_declared, report, seed


def summary(data: Digits, split_seed: int) -> dict[str, object]:
    """Return what it was trained with, and how well it fits that."""
    known = digits.split(data, split_seed).known
    return {
        "rows": len(known.labels),
        "seed": split_seed,
        "libraries": libraries(),
        "metrics": model.metrics(model.fit(known), known),
    }


if __name__ == "__main__":
    report(summary(load_declared(), seed()))
