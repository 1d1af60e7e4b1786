"""What all Jobs share: settings from the environment, and one JSON object as the termination message."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import sklearn

from examples.verify import digits
from examples.verify.digits import Digits

MOST_BYTES = 4096
"""What Kubernetes keeps of a termination message."""


def seed() -> int:
    """Return the seed of the split, `SEED`."""
    return int(os.environ.get("SEED", "0"))


def load_declared() -> Digits:
    """Return the data, less the share `LOST_PIXELS`; end the Job when it is not what the rollout declares."""
    data = digits.load(float(os.environ.get("LOST_PIXELS", "0")))
    declared, found = os.environ.get("MODELROLLOUT_DATA_DIGEST"), digits.digest(data)
    if declared and declared != found:
        raise SystemExit(fail(f"expected data with digest {declared}, found {found}"))
    return data


def libraries() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    return {"python": platform.python_version(), "numpy": np.__version__, "scikitLearn": sklearn.__version__}


def report(summary: Mapping[str, object]) -> None:
    """Write the summary where Kubernetes takes it from, and to the log."""
    text = json.dumps(summary, allow_nan=False)
    if len(text.encode()) > MOST_BYTES:
        raise SystemExit(fail(f"the summary has {len(text)} bytes, and Kubernetes keeps {MOST_BYTES}"))
    print(text)
    _termination_log().write_text(text)


def fail(sentence: str) -> str:
    """Write why the Job fails where Kubernetes takes it from; return it for the log."""
    _termination_log().write_text(sentence)
    return sentence


def _termination_log() -> Path:
    return Path(os.environ.get("TERMINATION_LOG", "/dev/termination-log"))
