"""Evidence to verdict: pure statistics on counts, valid at every look.

Knows nothing about Kubernetes, Prometheus, time or the state of a rollout; numbers come in, numbers and a
verdict go out. Everything is oriented "bad = 1": a higher rate is worse. Evidence is an e-value: under the
hypothesis it speaks against it exceeds 1/α with probability at most α, however often one looks.

From the inside out: a kind of metric offers evidence processes (``_process`` says what, ``kinds`` holds them), which
``_mixture`` puts together; ``_evidence`` is one metric with its verdict, ``_trial`` all of an epoch. ``_margin`` and
``noise`` settle before the first window what is tolerated and what pods differ by anyway, ``_agreement`` is the second
witness where that is not known; ``checks`` tell whether there is anything to compare, ``outlook`` how long it takes.
``offline`` replays records and files, ``batch`` judges thousands of simulated runs side by side, ``numbers`` is
arithmetic. Sources are named with the formulas, F1 to F12, which docs/method.md explains.
"""

from controller.judge._evidence import ALARM, Evidence
from controller.judge._margin import (
    alpha_for_attempt,
    resolve_margin,
    resolve_mean_margin,
    resolve_rate_margin,
)
from controller.judge._process import ArmLike, MetricTest, PerArm, Window, WindowLike
from controller.judge._trial import Trial
from controller.judge.checks.slices import SliceEvidence
from controller.judge.checks.split import SampleRatio, SessionRatio, Split, SplitEvidence
from controller.judge.checks.validity import LOST_WINDOWS, Circumstances, Coverage, Slice, Validity
from controller.judge.kinds.buckets import BucketArm, cells_of, common_edges, per_bucket
from controller.judge.kinds.distribution import DistributionProcess, DistributionTest
from controller.judge.kinds.group_process import GroupTest
from controller.judge.kinds.histogram import HistogramProcess, HistogramTest
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.paired import PairArm
from controller.judge.kinds.paired_process import PairProcess, PairTest
from controller.judge.kinds.query import QueryArm, QueryTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.rate_process import RateTest
from controller.judge.kinds.ratio import Arm, History
from controller.judge.kinds.ratio_process import RatioTest
from controller.judge.kinds.scale import MeanScale
from controller.judge.noise.calibration import (
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
from controller.judge.noise.dispersion import Dispersion
from controller.judge.noise.label_lag import LabelHistory, LabelLag, measure_label_lag
from controller.judge.offline.replay import Case, Replay, Trace
from controller.judge.offline.windows_file import read_windows_file
from controller.judge.outlook.courses import hardest_share
from controller.judge.outlook.forecast import Expected, Forecast, forecast, resolvable_margin

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
    "LabelHistory",
    "LabelLag",
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
    "measure_label_lag",
    "per_bucket",
    "read_windows_file",
    "resolvable_margin",
    "resolve_margin",
    "resolve_mean_margin",
    "resolve_rate_margin",
]
