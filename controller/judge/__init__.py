"""Evidence to verdict: pure statistics on counts, valid at every look.

Knows nothing about Kubernetes, Prometheus, time or the state of a rollout; numbers come in, numbers and a
verdict go out. Everything is oriented "bad = 1": a higher rate is worse. Evidence is an e-value: under the
hypothesis it speaks against it exceeds 1/α with probability at most α, however often one looks.

Sources are named with the formulas, F1 to F12: ``_ratio`` holds one window of a ratio metric, ``_mixture`` how
windows add up, ``_calibration`` what stable's own history tells of noise (``_scatter``, ``_dispersion``),
``_interval`` the confidence interval, ``_evidence`` one metric, ``_trial`` an epoch,
``_forecast`` how long it takes (``_courses``, ``_course``), ``_split`` the
arms' shares of the requests; ``_replay`` and ``_windows_file`` judge offline.
"""

from controller.judge._buckets import BucketArm, cells_of, common_edges, per_bucket
from controller.judge._calibration import (
    FEWEST_INTERVALS,
    UNCALIBRATED,
    BucketHistory,
    Calibration,
    PodHistory,
    Pods,
    batch_length,
    calibrate_buckets,
    calibrate_classes,
    calibrate_means,
    calibrate_rates,
    calibrate_shares,
)
from controller.judge._courses import hardest_share
from controller.judge._dispersion import Dispersion
from controller.judge._distribution import DistributionProcess, DistributionTest
from controller.judge._evidence import ALARM, Evidence
from controller.judge._forecast import Expected, Forecast, forecast, resolvable_margin
from controller.judge._group_process import GroupTest
from controller.judge._histogram import HistogramProcess, HistogramTest
from controller.judge._margin import (
    alpha_for_attempt,
    resolve_margin,
    resolve_mean_margin,
    resolve_rate_margin,
)
from controller.judge._mean import MeanArm
from controller.judge._mean_process import MeanTest
from controller.judge._paired import PairArm
from controller.judge._paired_process import PairProcess, PairTest
from controller.judge._process import ArmLike, MetricTest, PerArm, Window, WindowLike
from controller.judge._query import QueryArm, QueryTest
from controller.judge._rate import RateArm
from controller.judge._rate_process import RateTest
from controller.judge._ratio import Arm, History
from controller.judge._ratio_process import RatioTest
from controller.judge._replay import Case, Replay, Trace
from controller.judge._scale import MeanScale
from controller.judge._slices import SliceEvidence
from controller.judge._split import SampleRatio, SessionRatio, Split, SplitEvidence
from controller.judge._trial import Trial
from controller.judge._validity import LOST_WINDOWS, Circumstances, Coverage, Slice, Validity
from controller.judge._windows_file import read_windows_file

__all__ = [
    "ALARM",
    "FEWEST_INTERVALS",
    "LOST_WINDOWS",
    "UNCALIBRATED",
    "Arm",
    "ArmLike",
    "BucketArm",
    "BucketHistory",
    "Calibration",
    "Case",
    "Circumstances",
    "Coverage",
    "Dispersion",
    "DistributionProcess",
    "DistributionTest",
    "Evidence",
    "Expected",
    "Forecast",
    "GroupTest",
    "HistogramProcess",
    "HistogramTest",
    "History",
    "MeanArm",
    "MeanScale",
    "MeanTest",
    "MetricTest",
    "PairArm",
    "PairProcess",
    "PairTest",
    "PerArm",
    "PodHistory",
    "Pods",
    "QueryArm",
    "QueryTest",
    "RateArm",
    "RateTest",
    "RatioTest",
    "Replay",
    "SampleRatio",
    "SessionRatio",
    "Slice",
    "SliceEvidence",
    "Split",
    "SplitEvidence",
    "Trace",
    "Trial",
    "Validity",
    "Window",
    "WindowLike",
    "alpha_for_attempt",
    "batch_length",
    "calibrate_buckets",
    "calibrate_classes",
    "calibrate_means",
    "calibrate_rates",
    "calibrate_shares",
    "cells_of",
    "common_edges",
    "forecast",
    "hardest_share",
    "per_bucket",
    "read_windows_file",
    "resolvable_margin",
    "resolve_margin",
    "resolve_mean_margin",
    "resolve_rate_margin",
]
