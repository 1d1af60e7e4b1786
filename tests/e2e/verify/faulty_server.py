"""The demo's server with one fault, run in a pod from a ConfigMap; what the fault is stands in a file beside it.

A pod reads the file as it starts, so that pods of one Deployment can differ by when they were born.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from examples.demo import server
from examples.demo.application import Application
from examples.demo.classifier import Classifier, Prediction
from examples.demo.http_service import Request, Response, json_response

_PREDICT = Classifier.predict
_HANDLE = Application.handle


def transposed(self: Classifier, rows: object) -> list[Prediction]:
    """The right model, given its features in another order."""
    assert isinstance(rows, list)
    return _PREDICT(self, [row[::-1] for row in rows])


def without_numbers(self: Classifier, rows: object) -> list[Prediction]:
    """Answers that are no numbers."""
    return [replace(each, confidence=math.nan) for each in _PREDICT(self, rows)]


def credulous(self: Application, request: Request) -> Response:
    """200 for whatever comes."""
    response = _HANDLE(self, request)
    return response if response.status < 400 else json_response(200, {"outputs": []})


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "transposed": lambda: setattr(Classifier, "predict", transposed),
    "nan": lambda: setattr(Classifier, "predict", without_numbers),
    "credulous": lambda: setattr(Application, "handle", credulous),
}

if __name__ == "__main__":
    FAULTS[Path(__file__).with_name("fault").read_text().strip()]()
    sys.exit(server.main())
