"""Metrics pages: the counters of the judge's selectors, whatever their labels; and pages that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.observe.probes.smoke.page import MetricsPage
from controller.observe.probes.target import Answer, ProbeError

PAGE = """
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",model="m"} 7
requests_total{code="500",model="m"} 2
requests_total{code="200",model="other"} NaN
requests_created{code="200"} 1.7e9
# TYPE infer_success counter
infer_success{reason="a \\"b\\" c"} 3
# TYPE infer_failure counter
infer_failure 1
# TYPE seconds histogram
seconds_bucket{le="1"} 4
seconds_bucket{le="+Inf"} 5
seconds_count 5
seconds_sum 2.5
# TYPE temperature gauge
temperature 20
:tensorflow:serving:request_count{status="OK"} 11
"""


def page(text: str = PAGE, status: int = 200) -> MetricsPage:
    return MetricsPage.read(Answer(status, {}, text.encode(), 0.0), "/metrics")


@pytest.mark.parametrize(
    ("selector", "total"),
    [
        ("requests_total", 9),
        ('requests_total{code="200"}', 7),
        ('requests_total{code!="200"}', 2),
        ('requests_total{code=~"2.."}', 7),
        ('requests_total{code!~"2.."}', 2),
        ('requests_total{code="404"}', None),
        ('requests_total{namespace="prod",job=~".+"}', 9),
        ('{__name__=~"infer_(success|failure)"}', 4),
        ('{__name__=~"infer"}', None),
        ('infer_success{reason="a \\"b\\" c"}', 3),
        ("seconds_count", 5),
        (":tensorflow:serving:request_count", 11),
        ("nothing_total", None),
    ],
)
def test_totals(selector: str, total: float | None) -> None:
    assert page().total(selector) == total


def test_counters_with_a_similar_name_come_first() -> None:
    assert page().similar("request_total").startswith("requests_total, ")
    assert "temperature" not in page().similar("temperatures")
    assert page("").similar("x") == "no counter at all"
    assert (
        page("# TYPE a counter\n" + "".join(f"a_total{{n='{n}'}} 1\n".replace("'", '"') for n in range(9)))
        .similar("b")
        .endswith("a_total")
    )


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        ("<html>Not found</html>", 404, "the metrics page /metrics answers HTTP 404: '<html>Not found</html>'"),
        ("<html><body>Hello</body></html>", 200, "is not in the Prometheus text format"),
        ('{"requests": 1}', 200, "is not in the Prometheus text format"),
        ("\n" * 30_000, 200, "has 30,001 lines"),
        ('a{b="' + "x" * 20_000 + '"} 1', 200, "the longest of 20,009 characters; at most 20,000 of 16,384 are read"),
    ],
)
def test_pages_that_are_none(text: str, status: int, sentence: str) -> None:
    with pytest.raises(ProbeError) as caught:
        page(text, status)
    assert sentence in str(caught.value)


def test_what_is_no_selector_is_refused() -> None:
    with pytest.raises(ProbeError, match="plain PromQL selector"):
        page().total("rate(requests_total[1m])")


@given(st.text(alphabet='ab{}="# \n\\1.,TYPEcounter', max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        found = page(text)
    except ProbeError as error:
        refused = str(error)
    else:
        refused = "" if all(each.labels["__name__"] for each in found.samples) else "a sample without a name"
    assert refused == "" or "is not in the Prometheus text format" in refused
