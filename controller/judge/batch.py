"""Many runs of the policy side by side, for simulations; the operator, which judges one, does not import this."""

from controller.judge._batch import BatchTest, TrialBatch
from controller.judge._batch_calibration import BatchCalibration, PodCounts
from controller.judge._batch_rate import RateBatchTest
from controller.judge._batch_ratio import RatioBatchTest
from controller.judge._vector import BatchWindow, Flags, Floats

__all__ = [
    "BatchCalibration",
    "BatchTest",
    "BatchWindow",
    "Flags",
    "Floats",
    "PodCounts",
    "RateBatchTest",
    "RatioBatchTest",
    "TrialBatch",
]
