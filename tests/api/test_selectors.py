"""Selectors: taken apart, narrowed, and nothing but plain ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.selectors import Matcher, Selector, parse_selector, quoted

names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True)
matchers = st.builds(
    Matcher,
    label=st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,9}", fullmatch=True),
    operator=st.sampled_from(["=", "!=", "=~", "!~"]),
    value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20).map(quoted),
)
selectors = st.builds(Selector, name=names, matchers=st.lists(matchers, max_size=4).map(tuple))


@given(selectors)
def test_a_selector_is_read_back_from_promql(selector: Selector) -> None:
    assert parse_selector(selector.narrowed()) == selector


@given(selectors, st.lists(matchers, max_size=3))
def test_narrowing_only_adds_matchers(selector: Selector, more: list[Matcher]) -> None:
    narrowed = parse_selector(selector.narrowed(*more))
    assert (narrowed.name, narrowed.matchers) == (selector.name, (*selector.matchers, *more))


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("up", "up", ()),
        (" up { } ", "up", ()),
        ('up{a="b"}', "up", (("a", "=", '"b"'),)),
        ('up { a = "b" , c!~"d|e", }', "up", (("a", "=", '"b"'), ("c", "!~", '"d|e"'))),
        ('{__name__=~"a_(b|c)"}', "", (("__name__", "=~", '"a_(b|c)"'),)),
        (':tensorflow:serving:count{s!="OK"}', ":tensorflow:serving:count", (("s", "!=", '"OK"'),)),
        (r'up{a="x\"y,b=\"z"}', "up", (("a", "=", r'"x\"y,b=\"z"'),)),
        ('up{a="}{"}', "up", (("a", "=", '"}{"'),)),
    ],
)
def test_selectors_of_users(text: str, name: str, found: tuple[tuple[str, str, str], ...]) -> None:
    selector = parse_selector(text)
    assert selector.name == name
    assert tuple((each.label, each.operator, each.value) for each in selector.matchers) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        " { } ",
        "rate(up[5m])",
        "up[5m]",
        "up offset 5m",
        "up @ 0",
        "up + up",
        "up or up",
        "-up",
        "1",
        "up{a='b'}",
        "up{a=b}",
        'up{a="b"',
        'up{a="b"}}',
        'up{a="b" c="d"}',
        'up{a=="b"}',
        'up{"a"="b"}',
        'up{a="b\nc"}',
        'up{a="b"} or {x="y"}',
        'up{a="b\\"}',
        "up # comment",
        "1up",
        "u" * 1025,
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="must be a plain PromQL selector such as requests_total"):
        parse_selector(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        selector = parse_selector(text)
    except ValueError:
        return
    assert selector.name or selector.matchers
