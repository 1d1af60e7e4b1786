"""Many runs of the policy side by side, for simulations; the operator, which judges one, does not import this."""

from controller.judge.batch.calibration import BatchCalibration, PodCounts
from controller.judge.batch.distribution import DistributionBatchTest, within_cells
from controller.judge.batch.group import GroupBatchTest
from controller.judge.batch.histogram import HistogramBatchTest
from controller.judge.batch.mean import AgreementBatch, MeanBatchTest
from controller.judge.batch.paired import PairBatchTest
from controller.judge.batch.query import QueryBatchTest
from controller.judge.batch.rate import RateBatchTest
from controller.judge.batch.ratio import RatioBatchTest
from controller.judge.batch.shares import above_edges
from controller.judge.batch.trials import BatchDemands, BatchTest, TrialBatch
from controller.judge.numbers.vector import BatchWindow, Flags, Floats

__all__ = [
    "AgreementBatch",
    "BatchCalibration",
    "BatchDemands",
    "BatchTest",
    "BatchWindow",
    "DistributionBatchTest",
    "Flags",
    "Floats",
    "GroupBatchTest",
    "HistogramBatchTest",
    "MeanBatchTest",
    "PairBatchTest",
    "PodCounts",
    "QueryBatchTest",
    "RateBatchTest",
    "RatioBatchTest",
    "TrialBatch",
    "above_edges",
    "within_cells",
]
