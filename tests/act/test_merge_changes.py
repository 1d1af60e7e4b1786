from hypothesis import given
from hypothesis import strategies as st

from controller.act.status import merge_changes
from controller.observe.cluster import Json

LEAVES = st.one_of(st.booleans(), st.integers(), st.text(max_size=3))
KEYS = st.sampled_from(["phase", "step", "traffic", "window"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def merged(target: object, patch: object) -> object:
    """RFC 7386, as the standard writes it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@given(old=OBJECTS, new=OBJECTS)
def test_patch_turns_the_old_into_the_new(old: Json, new: Json) -> None:
    assert merged(old, merge_changes(old, new)) == new


@given(value=OBJECTS)
def test_nothing_differs_nothing_is_written(value: Json) -> None:
    assert merge_changes(value, value) == {}


def test_only_differences_are_sent() -> None:
    old: Json = {"phase": "Idle", "traffic": {"desiredWeight": 0, "appliedAt": "x"}, "step": "1/4"}
    new: Json = {"phase": "Idle", "traffic": {"desiredWeight": 5}}
    assert merge_changes(old, new) == {"traffic": {"desiredWeight": 5, "appliedAt": None}, "step": None}
