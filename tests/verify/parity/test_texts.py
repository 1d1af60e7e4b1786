"""Texts that people write: command lines, lists of packages, quantities, references; and texts that mean harm."""

import pytest

from controller.api.verify import ParityGroup
from controller.observe.environment.arguments import arguments, public
from controller.observe.environment.packages import MOST_PACKAGES, packages
from controller.observe.environment.pods import image_fact
from controller.observe.environment.quantities import amount

ANNOTATION_BYTES = 256 * 1024


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--model", "m", "--dtype=half"],
            [("Model", "argument --model", "m"), ("Numerics", "argument --dtype", "half")],
        ),
        (["--model_name=fraud"], [("Model", "argument --model_name", "fraud")]),
        (
            ["--verbose", "--port", "80"],
            [("Command", "argument --verbose", "set"), ("Command", "argument --port", "80")],
        ),
        (["--seed", "-1"], [("Numerics", "argument --seed", "-1")]),
        (["--x=1", "--x=2"], [("Command", "argument --x", "1"), ("Command", "argument --x (2)", "2")]),
        (["python", "-m", "vllm"], [("Command", "argument 1", "python"), ("Command", "argument -m", "vllm")]),
        (["-m", "models:/fraud/3"], [("Model", "argument -m", "models:/fraud/3")]),
        (
            ["vllm", "serve", "org/model", "--tp", "2"],
            [
                ("Command", "argument 1", "vllm"),
                ("Command", "argument 2", "serve"),
                ("Model", "model after serve", "org/model"),
                ("Numerics", "argument --tp", "2"),
            ],
        ),
        (
            ["sh", "-c", "exec srv --workers 2"],
            [
                ("Command", "argument 1", "sh"),
                ("Command", "argument -c", "exec"),
                ("Command", "argument 2", "srv"),
                ("Numerics", "argument --workers", "2"),
            ],
        ),
        (["sh", "-c", "echo 'open"], [("Command", "argument 1", "sh"), ("Command", "argument -c", "echo 'open")]),
        ([], []),
    ],
)
def test_arguments(words: list[str], expected: list[tuple[str, str, str]]) -> None:
    assert list(arguments(words)) == [(ParityGroup(group), name, value) for group, name, value in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy==1.26.4, scipy==1.13.0", {"numpy": "1.26.4", "scipy": "1.13.0"}),
        ("Ruamel.Yaml_x==1 \\\n    --hash=sha256:ab\n# via y==2\nz===3", {"ruamel-yaml-x": "1", "z": "3"}),
        ("uvicorn[standard]==0.30; python_version >= '3.9'", {"uvicorn": "0.30"}),
        ("torch==2.4.0+cu121\\", {"torch": "2.4.0+cu121"}),
        ("numpy>=1.26\nscipy\n==\n-r other.txt", {}),
        ("", {}),
    ],
)
def test_packages(text: str, expected: dict[str, str]) -> None:
    assert packages(text) == expected


@pytest.mark.parametrize("piece", ["a", "a[", "a=", "=", "[", " ", "a==1["])
def test_a_hostile_list_of_packages_ends_soon(piece: str) -> None:
    assert len(packages(piece * (ANNOTATION_BYTES // len(piece)))) <= 1


def test_so_many_packages_are_compared() -> None:
    assert len(packages(",".join(f"p{index}==1" for index in range(MOST_PACKAGES + 10)))) == MOST_PACKAGES


@pytest.mark.parametrize("words", [["x"] * 50_000, ["--x"] * 50_000, ["sh", "-c", "'" * 1_000_001]])
def test_hostile_command_lines_end_soon(words: list[str]) -> None:
    assert len(list(arguments(words))) <= len(words)


@pytest.mark.parametrize(
    ("quantities", "same"),
    [
        (("1", "1000m", "1e0", "1.0"), True),
        (("1Gi", "1024Mi", "1073741824"), True),
        (("1G", "1Gi"), False),
        (("2k", "2000"), True),
        (("100m", "0.1"), True),
        (("1E", "1000P", "1e18"), True),
    ],
)
def test_quantities(quantities: tuple[str, ...], same: bool) -> None:
    assert (len({amount(each) for each in quantities}) == 1) is same


@pytest.mark.parametrize("text", ["", "lots", "1e999999999", "1Qi", "NaN", "Infinity"])
def test_what_is_no_quantity_stays_as_it_is(text: str) -> None:
    assert amount(text) == text


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("s3://bucket/model/1", "s3://bucket/model/1"),
        ("https://me:pass@host:8080/m?sig=x#y", "https://host:8080/m"),
        ("models:/fraud/3", "models:/fraud/3"),
        ("/mnt/models?token=x", "/mnt/models"),
        ("https://[half?token=x", "https://[half"),
    ],
)
def test_references_are_shown_without_credentials(reference: str, shown: str) -> None:
    assert public(reference) == shown


@pytest.mark.parametrize(
    ("image_id", "mark"),
    [
        ("registry.example/a@sha256:12", "manifest:sha256:12"),
        ("docker-pullable://registry.example/a@sha256:12", "manifest:sha256:12"),
        ("sha256:12", "config:sha256:12"),
        ("docker://sha256:12", "config:sha256:12"),
    ],
)
def test_runtimes_name_images_in_their_own_ways(image_id: str, mark: str) -> None:
    assert image_fact("a:1", image_id).marks == (mark,)
