"""Many runs of the policy side by side, for simulations; the operator, which judges one, does not import this."""

from controller.judge._batch import BatchDemands, BatchTest, TrialBatch
from controller.judge._batch_calibration import BatchCalibration, PodCounts
from controller.judge._batch_histogram import HistogramBatchTest
from controller.judge._batch_mean import AgreementBatch, MeanBatchTest
from controller.judge._batch_rate import RateBatchTest
from controller.judge._batch_ratio import RatioBatchTest
from controller.judge._vector import BatchWindow, Flags, Floats

__all__ = [
    "AgreementBatch",
    "BatchCalibration",
    "BatchDemands",
    "BatchTest",
    "BatchWindow",
    "Flags",
    "Floats",
    "HistogramBatchTest",
    "MeanBatchTest",
    "PodCounts",
    "RateBatchTest",
    "RatioBatchTest",
    "TrialBatch",
]
