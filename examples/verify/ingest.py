"""First component: looks at the data. `python -m examples.verify.ingest`."""

import numpy as np
from numpy.typing import NDArray

from examples.verify import digits
from examples.verify.digits import Digits
from examples.verify.job import load_declared, report


def summary(data: Digits) -> dict[str, object]:
    """Return what expectations can be about: rows, schema, and of each column null rate and range."""
    return {
        "rows": len(data.labels),
        "dataDigest": digits.digest(data),
        "schema": {"pixels": f"{data.pixels.dtype}[{data.pixels.shape[1]}]", "label": str(data.labels.dtype)},
        "columns": {"pixels": _column(data.pixels), "label": _column(data.labels)},
    }


def _column(values: NDArray[np.float64] | NDArray[np.int64]) -> dict[str, float]:
    return {
        "nullRate": round(float(np.isnan(values).mean()), 6),
        "min": float(np.nanmin(values)),
        "max": float(np.nanmax(values)),
    }


if __name__ == "__main__":
    report(summary(load_declared()))
