"""Queries that are confined to an arm, and every way round that was thought of."""

import re

import pytest

from controller.api.promql import parse_query
from controller.api.selectors import Matcher

SHOP = (Matcher(label="namespace", operator="=", value='"shop"'), Matcher(label="pod", operator="=~", value='"a|b"'))


@pytest.mark.parametrize(
    "text",
    [
        "up{{{selector}}}",
        '{__name__=~"up|down",{{selector}}}',
        'max(gpu_memory{{{selector}},device="0"})',
        "sum by (pod) (rate(http_requests_total{ {{selector}} , code=~'5..'}[5m]))",
        "sum(rate(x_total{{{selector}}}[5m])) without (pod, le,)",
        "histogram_quantile(0.99, sum by (le) (rate(x_bucket{{{selector}}}[5m])))",
        "-max(x{{{selector}}}) * 2 ^ -1 + 1e3 / .5 - 0x1F",
        "max_over_time(x{{{selector}}}[1h30m:15s]) - x{{{selector}}} offset -5m",
        "x{{{selector}}} @ 1609746000 / on (pod) group_left (device) y{{{selector}}} @ end()",
        "(x{{{selector}}} > bool 3) and ignoring(le) y{{{selector}}} or vector(0)",
        "quantile(.9, :tensorflow:serving:latency{{{selector}}}) % inf",
        'x{{{selector}},a=`b"`,c="\\"}"}[5m]',
        "SUM BY (pod) (x{{{selector}}}) UNLESS y{{{selector}}} OFFSET 1d",
        'count_values("v", x{{{selector}}})',
        "max_over_time(x{{{selector}}}[1h:])",
        "x{{{selector}},{{selector}},}",
    ],
)
def test_a_query_with_the_place_in_every_selector_is_read(text: str) -> None:
    assert "{{selector}}" not in parse_query(text).narrowed(*SHOP)


def test_the_matchers_of_the_arm_are_put_in_every_place() -> None:
    query = parse_query('sum(a{{{selector}},x="1"}) / sum(b{{{selector}}})')
    arm = 'namespace="shop",pod=~"a|b"'
    assert query.narrowed(*SHOP) == f'sum(a{{{arm},x="1"}}) / sum(b{{{arm}}})'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sum(x{{{selector}}}) + sum(secret)", "secret at character 28 has none"),
        ("x{{{selector}}} or secret", "secret at character 20 has none"),
        ("x{{{selector}}} or by", "by at character 20 has none"),
        ("x{{{selector}}} or sum", "sum at character 20 has none"),
        ("x{{{selector}}} > bool secret", "secret at character"),
        ("x{{{selector}}} or offset", "offset at character"),
        ("x{{{selector}}} or start", "start at character"),
        ("x{{{selector}}} / on (pod) secret", "secret at character"),
        ('x{{{selector}}} + y{namespace="victim"}', "the one at character 20 has none"),
        ('x{{{selector}}} + {__name__="secret"}', "the one at character 19 has none"),
        ('x{{{selector}} or namespace="victim"}', "expected '}'"),
        ('x{namespace="victim" or {{selector}}}', "expected '}'"),
        ('x{a="{{selector}}"}', "must not hold {{selector}} in a string"),
        ("x{a='{{selector}}'}", "must not hold {{selector}} in a string"),
        ("x{a=`{{selector}}`}", "must not hold {{selector}} in a string"),
        ("x{a={{selector}}}", "expected a string"),
        ("x{{selector}}", "write x{{{selector}}}"),
        ("{{selector}}", "expected a selector, a function or a number"),
        ("x # {{{selector}}}\n", "cannot be read at character 3: '# {{{selector}}}"),
        ("x{{{selector}}} # comment", "cannot be read at character 17"),
        ("info(x{{{selector}}})", "must not use info()"),
        ("INFO (x{{{selector}}})", "must not use INFO()"),
        ("WITH (a = secret{{{selector}}}) a", "a at character 7 has none"),
        ("label_replace(x{{{selector}}}, secret)", "secret at character"),
        ("sum(x{{{selector}}}) by (pod) secret", "expected the end"),
        ("vector(1)", "selects no series"),
        ("1 + 1", "selects no series"),
        ("", "expected a selector"),
        ("x{{{selector}}", "expected '}', found its end"),
        ("x{{{selector}}}[5]", "expected a duration such as 5m"),
        ("x{{{selector}}}[5m:1]", "expected ']'"),
        ("x{{{selector}}} @ secret", "expected a time, start() or end()"),
        ("x{{{selector}}} offset secret", "expected a duration"),
        ('x{{{selector}}} + "unfinished', "cannot be read at character 19"),
        ('x{{{selector}}, "quoted.name"}', "expected a label or {{selector}}"),
        ("(" * 40 + "x{{{selector}}}" + ")" * 40, "nested more than 32 deep"),
        ("x{{{selector}}} + ü", "cannot be read at character 19: 'ü'"),
    ],
)
def test_what_might_select_other_series_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_query(text)
