"""The spec in Python: defaults, reading back, presets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.api.presets import LATENCIES, PRESETS
from controller.api.selectors import parse_selector
from controller.api.spec import ModelRolloutSpec, Strategy
from controller.api.verdicts import Advance, Kind, Role
from tests.api.examples import SMALLEST, Json, changed

shares = st.decimals("0.000001", "0.999999", places=6).map(str)
spans = st.integers(60, 3600).map(lambda seconds: f"{seconds}s")
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True)
margins = st.fixed_dictionaries({"absolute": shares}, optional={"relative": shares})
metrics = st.one_of(
    st.fixed_dictionaries(
        {"name": names, "preset": st.sampled_from(sorted(PRESETS)), "role": st.just("Guardrail")},
        optional={"margin": margins, "allowAbsent": st.booleans()},
    ),
    st.fixed_dictionaries(
        {
            "name": names,
            "ratio": st.just({"bad": 'a_total{code=~"5.."}', "total": "a_total"}),
            "margin": margins,
            "role": st.sampled_from(["Guardrail", "Target"]),
        },
        optional={"arms": st.just({"label": "version", "stable": "1", "candidate": "2"})},
    ),
    st.fixed_dictionaries(
        {
            "name": names,
            "preset": st.sampled_from(sorted(PRESETS)),
            "role": st.just("RedFlag"),
            "threshold": shares,
            "minRequests": st.integers(1, 1000),
        }
    ),
)
guardrail = {"name": "0", "preset": "mlr/errors"}
specs = st.builds(
    changed,
    st.fixed_dictionaries(
        {
            "analysis.metrics": st.lists(metrics, max_size=4, unique_by=lambda metric: metric["name"]).map(
                lambda more: [guardrail, *more]
            ),
            "strategy.steps": st.sets(st.integers(1, 99), min_size=1, max_size=20).map(sorted),
            "strategy.interval": spans,
            "strategy.deadline": st.just("2h"),
            "strategy.dataTimeout": st.just("1h"),
        },
        optional={
            "suspend": st.booleans(),
            "candidate.scale": st.sampled_from(["ByUser", "ByWeight"]),
            "strategy.harmBudget": st.one_of(st.just(""), shares),
            "strategy.advance": st.sampled_from(list(Advance)).map(str),
            "traffic.requests": st.just("a_total"),
            "model.version": st.text(min_size=1, max_size=20),
        },
    ),
)


@given(specs)
def test_a_spec_is_read_back_as_it_was(spec: Json) -> None:
    read = ModelRolloutSpec.model_validate(spec)
    assert ModelRolloutSpec.model_validate(read.to_json()) == read


def test_the_smallest_spec_has_the_documented_defaults() -> None:
    spec = ModelRolloutSpec.model_validate(SMALLEST)
    assert spec.strategy == Strategy(
        steps=(5, 10, 25, 50),
        advance=Advance.BUDGETED,
        min_windows=3,
        harm_budget=None,
        interval=timedelta(seconds=30),
        warmup=timedelta(seconds=60),
        min_requests=100,
        deadline=timedelta(hours=6),
        data_timeout=timedelta(minutes=10),
    )
    assert (spec.suspend, spec.history_limit, spec.analysis.alpha) == (False, 10, Decimal("0.05"))
    assert (spec.analysis.labels.namespace, spec.analysis.labels.pod) == ("namespace", "pod")
    assert [metric.role for metric in spec.analysis.metrics] == [Role.GUARDRAIL, Role.GUARDRAIL]
    assert spec.candidate is not None
    assert (spec.candidate.scale, spec.candidate.service) == (None, None)


def test_empty_arms_are_the_arms_pods() -> None:
    spec = ModelRolloutSpec.model_validate(changed({"analysis.metrics.0.arms": {}}))
    assert spec.analysis.metrics[0].arms is None


def test_a_spec_never_changes_under_its_readers() -> None:
    spec = ModelRolloutSpec.model_validate(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        spec.suspend = True  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_a_ratio_of_plain_selectors_with_a_margin(name: str) -> None:
    preset = PRESETS[name]
    bad, total = parse_selector(preset.ratio.bad), parse_selector(preset.ratio.total)
    assert bad != total
    assert preset.margin.absolute or preset.margin.relative
    spec = ModelRolloutSpec.model_validate(changed({"analysis.metrics.0.preset": name}))
    assert spec.analysis.metrics[0].preset == name


@pytest.mark.parametrize("name", sorted(LATENCIES))
def test_every_latency_preset_is_a_histogram_of_plain_selectors(name: str) -> None:
    assert parse_selector(LATENCIES[name].histogram.buckets).name.endswith("_bucket")
    spec = ModelRolloutSpec.model_validate(changed({"analysis.metrics.0.preset": name}))
    assert spec.analysis.metrics[0].kind is Kind.HISTOGRAM


def test_only_presets_that_ask_for_latency_are_histograms() -> None:
    assert not any(name.endswith("/latency") for name in PRESETS)
    assert all(name.endswith("/latency") for name in LATENCIES)
