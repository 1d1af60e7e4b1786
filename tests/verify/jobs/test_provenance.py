"""Provenance: declared against carried."""

from controller.api.verdicts import CheckState
from controller.api.verify import Provenance
from controller.plan.verify.provenance import carried_by_template, check_provenance

SOURCE = "the pod template of Deployment fraud-v2"


def declared(**fields: str) -> Provenance:
    return Provenance.model_validate(fields)


def test_everything_that_is_declared_must_be_carried() -> None:
    annotations = {"modelrollout.dev/codeRevision": "3f9c2b7", "modelrollout.dev/dataDigest": "sha256:ab", "other": "x"}
    carried = carried_by_template(annotations, image_digest="sha256:cd")
    assert carried == {"codeRevision": "3f9c2b7", "dataDigest": "sha256:ab", "environmentDigest": "sha256:cd"}
    provenance = declared(
        codeRevision="3f9c2b7", dataDigest="sha256:00", environmentDigest="sha256:cd", modelDigest="sha256:ef"
    )
    code, data, environment, model = check_provenance(provenance, carried, SOURCE)
    assert (code.name, code.state) == ("provenance/codeRevision", CheckState.PASSED)
    assert (data.state, data.found, data.expected) == (
        CheckState.FAILED,
        f"sha256:ab ({SOURCE})",
        "sha256:00 (declared)",
    )
    assert environment.state is CheckState.PASSED
    assert model.state is CheckState.FAILED
    assert model.found == f"{SOURCE} carries no modelDigest; set modelrollout.dev/modelDigest there"


def test_an_annotation_comes_before_the_images_digest() -> None:
    carried = carried_by_template({"modelrollout.dev/environmentDigest": "lock:1"}, image_digest="sha256:cd")
    assert carried == {"environmentDigest": "lock:1"}


def test_half_a_revision_is_not_enough_and_says_so() -> None:
    (finding,) = check_provenance(declared(codeRevision="3f9c2b7"), {"codeRevision": "3f9c2b7d5e"}, SOURCE)
    assert finding.state is CheckState.FAILED
    assert finding.found.endswith("one is the beginning of the other: write both in full")
    (empty,) = check_provenance(declared(codeRevision="3f9c2b7"), {"codeRevision": ""}, SOURCE)
    assert empty.state is CheckState.FAILED
