"""Means, histograms, classes and pairs from hand-made matrices: sums that fall, layouts that differ, labels missing."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

import pytest

from controller.api.reasons import Reason
from controller.api.record import MOST_BUCKETS, ArmCounts
from controller.api.verdicts import Kind
from controller.observe import rows
from controller.observe.arms import MetricQuestion, Question, arms_of
from controller.observe.counters import Series
from controller.observe.kinds import counting_of
from controller.observe.paired import Comparer
from controller.observe.tally import Count, Found, Tally, summed, tally
from controller.plan.world import Problem
from tests.observe.test_tally import CANDIDATE, EDGES, EVERY_SCRAPE, NOON, OTHER, QUESTION, STABLE, pod, series, steady

RATE = MetricQuestion("exceptions", "exceptions_total", "requests_total", allow_absent=False, kind=Kind.RATE)
MEAN = MetricQuestion("cost", "cost_sum", "cost_count", allow_absent=True, kind=Kind.MEAN)
HISTOGRAM = MetricQuestion("latency", "", "latency_bucket", allow_absent=True, kind=Kind.HISTOGRAM)
CLASSES = MetricQuestion("classes", "", "predictions_total", allow_absent=True, kind=Kind.DISTRIBUTION, label="class")

PODS = replace(QUESTION, stable_pods=(pod(STABLE), pod(OTHER)))


def count(
    metric: MetricQuestion, *total: Series, bad: tuple[Series, ...] = (), up: tuple[Series, ...] = ()
) -> Tally | Problem:
    """The tally of a metric whose pods are all counted."""
    found = Found(total, bad, up)
    return tally(found, arms_of(PODS, None), edges=EDGES, pod_label="pod", counting=counting_of(metric))


def counts(found: Tally | Problem) -> Tally:
    assert isinstance(found, Tally), found
    return found


def refused(found: Tally | Problem, reason: Reason) -> str:
    assert isinstance(found, Problem), found
    assert found.reason is reason
    return found.message


class TestRate:
    def test_events_may_exceed_what_they_are_set_against(self) -> None:
        found = counts(
            count(RATE, steady(STABLE, 90), steady(OTHER, 10), steady(CANDIDATE, 10), bad=(steady(CANDIDATE, 25),))
        )
        row = rows.counted(RATE, found, bad_seen=True)
        assert row.candidate is not None
        assert (row.candidate.total, row.candidate.bad, row.message) == ("10", "25", "")


def sums(target: str, samples: dict[float, float], **labels: str) -> Series:
    named = series(target, samples, **labels)
    return replace(named, labels={**named.labels, "__name__": "cost_sum"})


class TestMean:
    calm = (steady(STABLE, 90), steady(OTHER, 60))

    others = tuple(sums(each.labels["pod"], {0: 3, 60: 9}) for each in calm)

    def mean(self, values: Series, sum_: Series) -> Count:
        found = counts(count(MEAN, *self.calm, values, bad=(*self.others, sum_)))
        return summed(found.candidate)

    def test_the_sum_may_fall_while_values_come(self) -> None:
        """Scores from -1 to 1: the sum goes down, and its process lives on."""
        fallen = sums(CANDIDATE, {-15: 12.5, 0: 10.25, 15: 8, 30: 9, 45: -3, 60: -4.5})
        assert self.mean(steady(CANDIDATE, 40), fallen) == Count(40, -14.75)

    def test_it_begins_again_with_its_count_although_it_rises(self) -> None:
        reborn = series(CANDIDATE, {-15: 100, 0: 110, 15: 4, 30: 6, 45: 8, 60: 9})
        risen = sums(CANDIDATE, {-15: -60, 0: -70, 15: -3, 30: -2, 45: -1, 60: 5})
        assert self.mean(reborn, risen) == Count(9, 5)

    def test_a_count_with_other_labels_tells_it_too_when_the_sum_fell(self) -> None:
        reborn = series(CANDIDATE, {-15: 100, 0: 110, 15: 4, 60: 9}, code="200")
        fallen = sums(CANDIDATE, {-15: 600, 0: 700, 15: 30, 60: 50})
        assert self.mean(reborn, fallen) == Count(9, 50)

    def test_another_series_that_begins_again_does_not_restart_a_sum_that_rose(self) -> None:
        reborn = series(CANDIDATE, {-15: 100, 0: 110, 15: 4, 60: 9}, code="200")
        risen = sums(CANDIDATE, {-15: 600, 0: 700, 15: 730, 60: 750})
        assert self.mean(reborn, risen) == Count(9, 50)

    def test_the_row_holds_the_sum_exactly(self) -> None:
        tiny = sums(CANDIDATE, {0: 1e-9, 60: 3.25e-9})
        found = counts(count(MEAN, *self.calm, steady(CANDIDATE, 40), bad=(*self.others, tiny)))
        row = rows.counted(MEAN, found, bad_seen=None)
        assert row.candidate is not None
        assert (row.candidate.total, row.candidate.sum, row.candidate.bad) == ("40", "2.25e-09", None)

    def test_values_without_any_series_of_their_sum_name_the_arm(self) -> None:
        message = refused(count(MEAN, *self.calm, steady(CANDIDATE, 40), bad=self.others), Reason.NO_SERIES)
        assert "candidate counted 40 values and has no series of their sum" in message

    bounded = replace(MEAN, bounds=(0.0, 1.0))

    @pytest.mark.parametrize(("total", "fits"), [(0.0, True), (40.3, True), (40.5, False), (-0.3, True), (-1, False)])
    def test_a_mean_is_between_its_bounds_or_refused(self, total: float, fits: bool) -> None:
        """One percent of the range is let pass: the sum may be read a moment after the count."""
        found = count(
            self.bounded, *self.calm, steady(CANDIDATE, 40), bad=(*self.others, sums(CANDIDATE, {0: 0, 60: total}))
        )
        if fits:
            assert summed(counts(found).candidate).bad == total
        else:
            assert "every value lies between 0 and 1" in refused(found, Reason.INVALID_SPEC)


def histogram(target: str, per_bucket: Mapping[str, float], path: str = "/") -> tuple[Series, ...]:
    """Cumulative series of a histogram that gets those requests per bucket in the window."""
    bounds = accumulate(per_bucket.values())
    return tuple(steady(target, grown, le=le, path=path) for le, grown in zip(per_bucket, bounds, strict=True))


FINE = {"0.1": 60.0, "0.5": 24.0, "1.0": 6.0, "+Inf": 0.0}


class TestHistogram:
    stable = (*histogram(STABLE, FINE), *histogram(OTHER, FINE))

    def test_requests_are_counted_per_bucket_not_cumulative(self) -> None:
        found = counts(count(HISTOGRAM, *self.stable, *histogram(CANDIDATE, {**FINE, "+Inf": 9})))
        assert found.edges == ("0.1", "0.5", "1", "+Inf")
        assert summed(found.stable) == Count(180, buckets=(120, 48, 12, 0))
        assert summed(found.candidate) == Count(99, buckets=(60, 24, 6, 9))

    def test_series_of_one_pod_are_added_up_per_bound(self) -> None:
        paths = (*histogram(CANDIDATE, FINE, path="/a"), *histogram(CANDIDATE, {**FINE, "0.5": 4}, path="/b"))
        found = counts(count(HISTOGRAM, *self.stable, *paths))
        assert summed(found.candidate).buckets == (120, 28, 12, 0)

    def test_other_bounds_are_compared_on_those_that_both_arms_have(self) -> None:
        coarse = {"0.05": 20.0, "0.5": 64.0, "2": 5.0, "+Inf": 1.0}
        found = counts(count(HISTOGRAM, *self.stable, *histogram(CANDIDATE, coarse)))
        assert found.edges == ("0.5", "+Inf")
        assert summed(found.stable).buckets == (168, 12)
        assert summed(found.candidate).buckets == (84, 6)

    def test_bounds_that_are_all_different_are_named(self) -> None:
        message = refused(
            count(HISTOGRAM, *self.stable, *histogram(CANDIDATE, {"10": 1, "20": 2, "+Inf": 3})), Reason.EDGES_DIFFER
        )
        assert "0.1, 0.5, 1, +Inf" in message
        assert "10, 20, +Inf" in message

    def test_pods_of_one_arm_may_differ_too(self) -> None:
        mixed = (*histogram(STABLE, FINE), *histogram(OTHER, {"0.5": 10, "5": 10, "+Inf": 0}))
        found = counts(count(HISTOGRAM, *mixed, *histogram(CANDIDATE, FINE)))
        assert found.edges == ("0.5", "+Inf")
        assert {name: each.buckets for name, each in found.stable.items()} == {STABLE: (84, 6), OTHER: (10, 10)}

    def test_a_pod_that_begins_again_counts_anew_in_every_bucket(self) -> None:
        """The lowest bucket is higher after the restart than before; only the others tell that it began again."""
        reborn = (
            series(CANDIDATE, {0: 1, 30: 1, 45: 5, 60: 5}, le="0.1"),
            series(CANDIDATE, {0: 90, 30: 100, 45: 7, 60: 9}, le="+Inf"),
        )
        found = counts(count(HISTOGRAM, *self.stable, *reborn))
        assert summed(found.candidate) == Count(19, buckets=(5, 14))

    def test_an_arm_without_a_series_yet_is_silent(self) -> None:
        up = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0))
        row = rows.counted(HISTOGRAM, counts(count(HISTOGRAM, *self.stable, up=(up,))), bad_seen=None)
        assert row.skipped is Reason.NO_CANDIDATE_TRAFFIC
        assert row.candidate is not None
        assert row.candidate.buckets == ("0", "0", "0", "0")

    @pytest.mark.parametrize("le", ["", "fast", "NaN", "-Inf"])
    def test_series_without_a_bound_say_what_to_name(self, le: str) -> None:
        message = refused(count(HISTOGRAM, *self.stable, steady(CANDIDATE, 9, le=le)), Reason.NO_SERIES)
        assert "_bucket" in message

    def test_without_a_finite_bound_nothing_is_compared(self) -> None:
        only = (steady(STABLE, 9, le="+Inf"), steady(OTHER, 9, le="+Inf"), steady(CANDIDATE, 9, le="+Inf"))
        assert "common to all of them is: +Inf" in refused(count(HISTOGRAM, *only), Reason.EDGES_DIFFER)

    def test_a_selector_that_cuts_the_last_bucket_off_is_told(self) -> None:
        cut = tuple(each for each in self.stable if each.labels["le"] != "+Inf")
        assert "+Inf in common" in refused(count(HISTOGRAM, *cut, *histogram(CANDIDATE, FINE)), Reason.EDGES_DIFFER)

    def test_more_bounds_than_a_row_holds_are_refused(self) -> None:
        many = {str(bound): 1.0 for bound in range(MOST_BUCKETS)} | {"+Inf": 0.0}
        both = tuple(each for target in (STABLE, OTHER, CANDIDATE) for each in histogram(target, many))
        assert "65 buckets" in refused(count(HISTOGRAM, *both), Reason.TOO_MANY_VALUES)


def labelled(each: Series, label: str, value: str) -> Series:
    return replace(each, labels={**each.labels, label: value})


def predictions(target: str, **per_class: float) -> tuple[Series, ...]:
    return tuple(labelled(steady(target, grown), "class", name) for name, grown in per_class.items())


class TestClasses:
    stable = (*predictions(STABLE, cat=30, dog=50), *predictions(OTHER, cat=10, dog=20))

    def test_classes_of_either_arm_are_counted_and_zero_where_they_are_absent(self) -> None:
        found = counts(count(CLASSES, *self.stable, *predictions(CANDIDATE, dog=6, fox=4)))
        assert found.edges == ("cat", "dog", "fox")
        assert summed(found.stable) == Count(110, buckets=(40, 70, 0))
        assert summed(found.candidate) == Count(10, buckets=(0, 6, 4))

    def test_a_label_that_no_series_has_is_named(self) -> None:
        other = replace(CLASSES, label="klass")
        assert "the label klass" in refused(
            count(other, *self.stable, *predictions(CANDIDATE, dog=6)), Reason.NO_SERIES
        )

    def test_too_many_classes_are_refused_with_some_of_their_names(self) -> None:
        many = predictions(CANDIDATE, **{f"user{number:02}": 1.0 for number in range(MOST_BUCKETS)})
        message = refused(count(CLASSES, *self.stable, *many), Reason.TOO_MANY_VALUES)
        assert "found 66 classes in the label class (cat, dog, user00" in message

    def test_as_many_as_a_row_holds_are_kept_apart(self) -> None:
        many = predictions(CANDIDATE, **{f"user{number:02}": 1.0 for number in range(MOST_BUCKETS - 2)})
        assert len(counts(count(CLASSES, *self.stable, *many)).edges) == MOST_BUCKETS


PAIRED = MetricQuestion("mirrored", "", "mlr_pair_total", allow_absent=True, kind=Kind.PAIRED)
COMPARER = "comparer-0"


def pair(stable: str, candidate: str, grown: float, target: str = COMPARER) -> Series:
    return steady(target, grown, stable=stable, candidate=candidate)


PAIRS = (
    pair("correct", "correct", 80),
    pair("correct", "incorrect", 7),
    pair("incorrect", "correct", 3),
    pair("incorrect", "incorrect", 10),
)


def compared(*series: Series, question: Question = PODS) -> Tally | Problem:
    """The tally of what the comparer counted."""
    return tally(Found(series), Comparer(question), edges=EDGES, pod_label="pod", counting=counting_of(PAIRED))


class TestPairs:
    def test_each_arm_has_its_wrong_answers_and_those_that_only_it_had(self) -> None:
        found = counts(compared(*PAIRS))
        assert summed(found.stable) == Count(100, 13, alone=3)
        assert summed(found.candidate) == Count(100, 17, alone=7)

    def test_the_row_keeps_what_the_judge_needs_and_deflates_nothing(self) -> None:
        row = rows.counted(PAIRED, counts(compared(*PAIRS)), bad_seen=None)
        assert row.stable == ArmCounts(total="100", bad="13", alone="3")
        assert row.candidate == ArmCounts(total="100", bad="17", alone="7")
        assert (row.skipped, row.message) == (None, "")

    def test_comparers_are_added_up(self) -> None:
        found = counts(compared(*PAIRS, pair("correct", "incorrect", 5, "comparer-1")))
        assert summed(found.candidate) == Count(105, 22, alone=12)

    def test_a_cell_that_is_born_in_the_window_counts_from_zero(self) -> None:
        born = series(COMPARER, {30: 1, 60: 4}, stable="correct", candidate="incorrect")
        assert summed(counts(compared(PAIRS[0], born)).candidate) == Count(84, 4, alone=4)

    def test_a_comparer_that_begins_again_counts_anew_in_every_cell(self) -> None:
        """Wrong pairs are more after the restart than before; only the right ones tell that it began again."""
        right = series(COMPARER, {0: 500, 30: 540, 45: 30, 60: 40}, stable="correct", candidate="correct")
        wrong = series(COMPARER, {0: 2, 30: 2, 45: 5, 60: 6}, stable="correct", candidate="incorrect")
        assert summed(counts(compared(right, wrong)).candidate) == Count(86, 6, alone=6)

    @pytest.mark.parametrize(
        ("labels", "found"),
        [
            ({"stable": "correct"}, 'stable="correct" and no label candidate'),
            ({}, "no label stable and no label candidate"),
            ({"stable": "correct", "candidate": "unknown"}, 'stable="correct" and candidate="unknown"'),
        ],
    )
    def test_labels_that_are_missing_or_say_something_else_are_named(self, labels: dict[str, str], found: str) -> None:
        message = refused(compared(*PAIRS, series(COMPARER, {0: 1, 60: 2}, **labels)), Reason.NO_SERIES)
        assert found in message
        assert "expected the labels stable and candidate on all of them, each correct or incorrect" in message

    @pytest.mark.parametrize(("since", "until", "end"), [(15, 60, "start"), (-60, 15, "end")])
    def test_a_comparer_that_was_not_scraped_at_both_edges_is_a_gap(self, since: int, until: int, end: str) -> None:
        half = steady(COMPARER, 9, since=since, until=until, stable="correct", candidate="correct")
        message = refused(compared(half), Reason.SCRAPE_GAP)
        assert "target" in message
        assert f"at the window's {end}" in message

    @pytest.mark.parametrize(
        "cold", [replace(PODS, stable_pods=(pod(STABLE, ready=-10),)), replace(PODS, diverted_at=NOON)]
    )
    def test_pairs_count_once_both_arms_are_warm(self, cold: Question) -> None:
        assert "had ended its warm-up" in refused(compared(*PAIRS, question=cold), Reason.WARMING_UP)

    def test_a_window_without_pairs_says_what_to_look_at(self) -> None:
        row = rows.counted(PAIRED, counts(compared(pair("correct", "correct", 0))), bad_seen=None)
        assert row.skipped is Reason.NO_TRAFFIC
        assert "check that requests are mirrored" in row.message
