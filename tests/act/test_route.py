import pytest

from controller.act.route import pointer, read_marks
from controller.observe.cluster import Json
from controller.plan.world import Fence, Roles


def route(**annotations: str) -> Json:
    return {"metadata": {"annotations": {f"modelrollout.dev/{key}": value for key, value in annotations.items()}}}


def test_marks_are_read() -> None:
    marks = read_marks(route(transition="uid-1/12", roles='{"stable":"a","backup":"b"}', rollout="fraud"))
    assert (marks.fence, marks.roles, marks.owner) == (Fence("uid-1", 12), Roles("a", "b"), "fraud")


def test_route_without_annotations_has_no_marks() -> None:
    marks = read_marks({"metadata": {}})
    assert (marks.fence, marks.roles, marks.owner) == (None, None, None)


@pytest.mark.parametrize("text", ["", "12", "/12", "uid/", "uid/x", "uid/-1", "uid/1.5"])
def test_garbled_fence_is_no_fence(text: str) -> None:
    assert read_marks(route(transition=text)).fence is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"a"', "{}", '{"stable":1}', '{"stable":"a","backup":2}'])
def test_garbled_roles_are_no_roles(text: str) -> None:
    assert read_marks(route(roles=text)).roles is None


def test_names_in_json_pointers() -> None:
    assert pointer("modelrollout.dev/a~b") == "modelrollout.dev~1a~0b"
