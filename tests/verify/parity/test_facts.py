"""What belongs to which group, and in which words a difference is told."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import Parity
from controller.observe.environment.content import edited_at
from controller.plan.verify.environment import Environment
from controller.plan.verify.parity import compare
from tests.verify.parity.arms import DIGEST, OTHER_DIGEST, arm, config_map, container, contents, node, pod, template

Json = dict[str, Any]


def differences(stable: Environment, candidate: Environment) -> tuple[str, ...]:
    return compare(Parity(), stable, candidate).environment.differences


def env(**variables: str) -> Json:
    return container(env=[{"name": name, "value": value} for name, value in variables.items()])


def command(*words: str) -> Json:
    return container(args=list(words))


def limits(**resources: str) -> Json:
    return container(resources={"limits": resources})


def with_sidecar(image: str) -> Json:
    return template(container(), container("proxy", image=image))


ONE_CHANGE: tuple[tuple[Json, Json, tuple[str, ...]], ...] = (
    (template(env(GREETING="a")), template(env(GREETING="b")), ("Env: GREETING differs",)),
    (template(env(A="1")), template(container()), ("Env: A only in stable",)),
    (template(env(OMP_NUM_THREADS="4")), template(env(OMP_NUM_THREADS="8")), ("Numerics: OMP_NUM_THREADS differs",)),
    (
        template(command("--dtype", "float16")),
        template(command("--dtype=bfloat16")),
        ("Numerics: argument --dtype float16 against bfloat16",),
    ),
    (
        template(command("--api-key=hunter2")),
        template(command("--api-key=swordfish")),
        ("Command: argument --api-key differs",),
    ),
    (
        template(command("--model-uri", "s3://user:pass@host/v1?token=x")),
        template(command("--model-uri", "s3://user:pass@host/v2?token=x")),
        ("Model: argument --model-uri s3://host/v1 against s3://host/v2",),
    ),
    (
        template(container(command=["sh", "-c", "exec mlserver start --workers 2"])),
        template(container(command=["sh", "-c", "exec mlserver start --workers 4"])),
        ("Numerics: argument --workers 2 against 4",),
    ),
    (template(limits(cpu="1")), template(limits(cpu="1500m")), ("Resources: limits cpu 1 against 1500m",)),
    (
        template(limits(**{"nvidia.com/mig-1g.5gb": "1"})),
        template(limits(**{"nvidia.com/mig-2g.10gb": "1"})),
        (
            "Resources: limits nvidia.com/mig-1g.5gb 1 only in stable",
            "Resources: limits nvidia.com/mig-2g.10gb 1 only in the candidate",
        ),
    ),
    (
        template(nodeSelector={"disk": "ssd"}),
        template(nodeSelector={"disk": "hdd"}),
        ("Scheduling: node selector disk ssd against hdd",),
    ),
    (
        template(tolerations=[{"key": "gpu"}]),
        template(tolerations=[{"key": "spot"}]),
        ("Scheduling: tolerations differs",),
    ),
    (
        template(annotations={"modelrollout.dev/packages": "numpy==1.26.4,scipy==1.13.0"}),
        template(annotations={"modelrollout.dev/packages": "scipy==1.13.0\nNumPy == 2.0.1"}),
        ("Packages: numpy 1.26.4 against 2.0.1",),
    ),
    (
        template(annotations={"modelrollout.dev/packages-digest": "sha256:1"}),
        template(annotations={"modelrollout.dev/packages-digest": "sha256:2"}),
        ("Packages: digest sha256:1 against sha256:2",),
    ),
    (
        template(annotations={"modelrollout.dev/runtime": "python==3.11.9"}),
        template(annotations={"modelrollout.dev/runtime": "python==3.12.4"}),
        ("Runtime: python 3.11.9 against 3.12.4",),
    ),
    (
        template(annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": "gs://m/1"}),
        template(annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": "gs://m/2"}),
        ("Model: source gs://m/1 against gs://m/2",),
    ),
    (
        template(annotations={"checksum/secret": "1"}),
        template(annotations={"checksum/secret": "2"}),
        ("Config: annotation checksum/secret differs",),
    ),
    (
        template(volumes=[{"name": "m", "persistentVolumeClaim": {"claimName": "a"}}]),
        template(volumes=[{"name": "m", "persistentVolumeClaim": {"claimName": "b"}}]),
        ("Model: volume at m PersistentVolumeClaim a against PersistentVolumeClaim b",),
    ),
)


@pytest.mark.parametrize(("stable", "candidate", "expected"), ONE_CHANGE)
def test_one_change_of_a_template_is_one_difference(stable: Json, candidate: Json, expected: tuple[str, ...]) -> None:
    assert differences(arm(stable), arm(candidate)) == expected
    assert differences(arm(stable, pod(stable)), arm(candidate, pod(candidate))) == expected


EQUAL: tuple[tuple[Json, Json], ...] = (
    (template(container("model")), template(container("server"))),
    (template(env(A="1", B="2")), template(env(B="2", A="1"))),
    (template(limits(cpu="1", memory="1Gi")), template(limits(cpu="1000m", memory="1024Mi"))),
    (template(command("--workers", "2")), template(command("--workers=2"))),
    (
        template(tolerations=[{"key": "a"}, {"key": "b"}]),
        template(tolerations=[{"key": "b"}, {"key": "a"}]),
    ),
    (
        template(
            labels={"version": "v1"},
            affinity={"podAntiAffinity": {"x": [{"labelSelector": {"matchLabels": {"version": "v1"}}}]}},
        ),
        template(
            labels={"version": "v2"},
            affinity={"podAntiAffinity": {"x": [{"labelSelector": {"matchLabels": {"version": "v2"}}}]}},
        ),
    ),
)


@pytest.mark.parametrize(("stable", "candidate"), EQUAL)
def test_what_means_the_same_is_equal(stable: Json, candidate: Json) -> None:
    mine, other = arm(stable, pod(stable)), arm(candidate, pod(candidate))
    assert differences(mine, other) == ()
    assert mine.status() == other.status()


def test_images_of_sidecars_are_compared_by_digest() -> None:
    of = with_sidecar("proxy:1")
    mine, other = arm(of, pod(of)), arm(of, pod(of, images={"proxy": OTHER_DIGEST, "model": DIGEST}))
    assert differences(mine, other) == (f"Sidecars: proxy: image proxy:1 ({'a' * 12}) against proxy:1 ({'b' * 12})",)


def test_a_sidecar_that_admission_put_in_is_seen() -> None:
    of = template()
    injected = {"containers": [container(), container("istio-proxy", image="istio/proxy:1.29")]}
    assert differences(arm(of, pod(of)), arm(of, pod(of, spec=injected))) == (
        f"Sidecars: istio-proxy: image istio/proxy:1.29 ({'a' * 12}) only in the candidate",
    )


def test_pods_whose_resources_are_not_those_of_their_template() -> None:
    of = template(limits(cpu="2"))
    resized = pod(of, spec={"containers": [limits(cpu="4")]})
    assert differences(arm(of, pod(of)), arm(of, resized)) == (
        "Resources: limits cpu 2 against 4",
        "Resources: pods of the candidate have another limits cpu than their template: 2 in the template, 4 in pods",
    )


def test_the_class_of_service_is_that_of_the_pods() -> None:
    of, better = template(), pod(template())
    better["status"]["qosClass"] = "Guaranteed"
    assert differences(arm(of, pod(of)), arm(of, better)) == ("Resources: QoS class Burstable against Guaranteed",)


GPU = {
    "nvidia.com/gpu.product": "A100",
    "nvidia.com/cuda.driver.major": "550",
    "nvidia.com/gfd.timestamp": "17",
    "nvidia.com/gpu.deploy.driver": "true",
    "nvidia.com/mig.config.state": "success",
}


def on_nodes(of: Json, *nodes: Json) -> Environment:
    named = {f"node-{index}": each for index, each in enumerate(nodes)}
    return arm(of, *(pod(of, f"pod-{name}", node=name) for name in named), nodes=named)


def test_the_gpu_and_its_driver_must_be_the_same_on_all_nodes() -> None:
    of = template(limits(**{"nvidia.com/gpu": "1"}))
    others = {"nvidia.com/gfd.timestamp": "18", "nvidia.com/gpu.deploy.driver": "", "nvidia.com/mig.config.state": "x"}
    old, new = GPU, GPU | others | {"nvidia.com/gpu.product": "T4"}
    assert differences(on_nodes(of, node(old)), on_nodes(of, node(old), node(new))) == (
        "Gpu: nvidia.com/gpu.product A100 against A100 and T4",
    )
    assert differences(on_nodes(of, node(old)), on_nodes(of, node(old), node(old))) == ()
    result = compare(Parity(), on_nodes(of, node(old)), on_nodes(of, node(new)))
    assert result.latency_void is not None
    assert result.latency_void.startswith("latency is not comparable, Gpu differs")


def test_gpus_that_nobody_asks_for_are_not_compared() -> None:
    of = template()
    assert differences(on_nodes(of, node(GPU)), on_nodes(of, node())) == ()


def test_nodes_may_be_a_part_of_the_others_but_never_another_architecture() -> None:
    of = template()
    zone = "topology.kubernetes.io/zone"
    a, b = node({zone: "a"}), node({zone: "b"})
    assert differences(on_nodes(of, a, b), on_nodes(of, b)) == ()
    assert differences(on_nodes(of, a), on_nodes(of, b)) == ("Nodes: zone a against b",)
    arm64 = node({zone: "a", "kubernetes.io/arch": "arm64"})
    assert differences(on_nodes(of, a), on_nodes(of, a, arm64)) == ("Nodes: arch amd64 against amd64 and arm64",)
    assert differences(on_nodes(of, node()), on_nodes(of, node(kernelVersion="6.12"))) == (
        "Nodes: kernel 6.1.0 against 6.12",
    )


def mounting(name: str, **mount: Any) -> Json:
    volume = {"name": "settings", "configMap": {"name": name}}
    mounted = {"name": "settings", "mountPath": "/etc/model", **mount}
    return template(container(volumeMounts=[mounted]), volumes=[volume])


def test_files_are_compared_by_path_and_not_by_the_name_of_the_config_map() -> None:
    v1, v2 = mounting("settings-v1"), mounting("settings-v2")
    same = contents(config_map("settings-v1", {"a.yaml": "x: 1"}), config_map("settings-v2", {"a.yaml": "x: 1"}))
    assert differences(arm(v1, read=same), arm(v2, read=same)) == ()
    other = contents(config_map("settings-v2", {"a.yaml": "x: 2", "b.yaml": ""}))
    assert differences(arm(v1, read=same), arm(v2, read=other)) == (
        "Config: file /etc/model/a.yaml differs",
        "Config: file /etc/model/b.yaml only in the candidate",
    )


def test_a_config_map_that_is_not_there_is_told() -> None:
    of = mounting("settings")
    there = contents(config_map("settings", {"a.yaml": ""}))
    gone = contents()
    gone = type(gone)(config_maps={"settings": None})
    assert differences(arm(of, read=there), arm(of, read=gone)) == (
        "Config: file /etc/model/a.yaml only in stable",
        "Config: files at /etc/model missing only in the candidate",
    )


def test_only_the_key_of_a_sub_path_counts() -> None:
    of = mounting("settings", mountPath="/app/a.yaml", subPath="a.yaml")
    first = contents(config_map("settings", {"a.yaml": "1", "b.yaml": "1"}))
    second = contents(config_map("settings", {"a.yaml": "1", "b.yaml": "2"}))
    third = contents(config_map("settings", {"a.yaml": "2", "b.yaml": "2"}))
    assert differences(arm(of, read=first), arm(of, read=second)) == ()
    assert differences(arm(of, read=second), arm(of, read=third)) == ("Config: file /app/a.yaml differs",)


def test_variables_of_a_config_map_are_compared_by_value() -> None:
    literal = template(env(THRESHOLD="0.5"))
    key = {"name": "THRESHOLD", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "threshold"}}}
    referring = template(container(env=[key]))
    importing = template(container(envFrom=[{"prefix": "T", "configMapRef": {"name": "prefixed"}}]))
    read = contents(config_map("settings", {"threshold": "0.5"}), config_map("prefixed", {"HRESHOLD": "0.5"}))
    for of in (referring, importing):
        assert differences(arm(literal, read=read), arm(of, read=read)) == ()
    edited = contents(config_map("settings", {"threshold": "0.9"}))
    assert differences(arm(literal), arm(referring, read=edited)) == ("Env: THRESHOLD differs",)


def secret_variable(name: str) -> Json:
    source = {"secretKeyRef": {"name": name, "key": "password"}}
    return template(container(env=[{"name": "PASSWORD", "valueFrom": source}]))


def test_secrets_that_are_not_read_are_compared_by_name() -> None:
    assert differences(arm(secret_variable("a")), arm(secret_variable("a"))) == ()
    assert differences(arm(secret_variable("a")), arm(secret_variable("b"))) == (
        "Env: PASSWORD from Secret a, key password against from Secret b, key password",
    )
    everything = [template(container(envFrom=[{"secretRef": {"name": name}}])) for name in ("a", "b")]
    assert differences(arm(everything[0]), arm(everything[1])) == (
        "Env: all of Secret a imported only in stable",
        "Env: all of Secret b imported only in the candidate",
    )


USES: dict[str, Json] = {
    "environment variables": template(container(envFrom=[{"configMapRef": {"name": "settings"}}])),
    "files (subPath)": mounting("settings", subPath="a.yaml"),
    "files": mounting("settings"),
}


@pytest.mark.parametrize("way", USES)
def test_a_config_map_that_was_edited_after_pods_had_started(way: str) -> None:
    of = USES[way]
    read = contents(config_map("settings", {"a.yaml": "2"}, edits={"kubectl-edit": "2026-08-01T12:30:00Z"}))
    early = arm(of, pod(of, "a"), pod(of, "b", started="2026-08-01T12:31:00Z"), read=read)
    late = arm(of, pod(of, started="2026-08-01T12:30:00Z"), name="fraud-v2", read=read)
    assert late.stale == ()
    (line,) = differences(early, late)
    assert line.startswith(
        "Config: ConfigMap settings was edited at 2026-08-01T12:30:00Z, after 1 of 2 pods of fraud-v1 had started: "
    )
    assert line.endswith("restart them (kubectl rollout restart deployment/fraud-v1)")


def test_who_writes_no_data_has_not_edited() -> None:
    read = config_map("settings", {"a.yaml": "1"}, edits={"kubectl-create": "2026-08-01T11:00:00Z"})
    assert read.edited_at is not None
    assert read.edited_at.isoformat() == "2026-08-01T11:00:00+00:00"


def test_a_writer_of_labels_has_not_edited() -> None:
    written = {"manager": "create", "time": "2026-08-01T11:00:00Z", "fieldsV1": {"f:data": {}}}
    labelled = {"manager": "label", "time": "2026-08-01T12:30:00Z", "fieldsV1": {"f:metadata": {}}}
    created = "2026-08-01T11:00:00Z"
    for entries in ([written, labelled], [labelled, written]):
        moment = edited_at({"creationTimestamp": created, "managedFields": entries})
        assert moment is not None
        assert moment.isoformat() == "2026-08-01T11:00:00+00:00"


def test_a_variable_of_its_own_counts_before_an_imported_one() -> None:
    imported = [{"configMapRef": {"name": "settings"}}]
    both = template(container(env=[{"name": "A", "value": "own"}], envFrom=imported))
    read = contents(config_map("settings", {"A": "imported"}))
    assert differences(arm(both, read=read), arm(template(env(A="own")), read=read)) == ()


def test_a_config_map_that_was_made_anew_after_pods_had_started_is_an_edit() -> None:
    of = USES["files"]
    read = contents(config_map("settings", {"a.yaml": "2"}, created="2026-08-01T12:30:00Z"))
    assert len(arm(of, pod(of), read=read).stale) == 1


def test_a_model_in_an_image_of_its_own_is_the_model() -> None:
    of = template(container(), container("modelcar", image="registry.example/model:1"))
    mine, other = arm(of, pod(of), version="1"), arm(of, pod(of, images={"modelcar": OTHER_DIGEST}), version="2")
    assert differences(mine, other) == (
        f"Model: modelcar: image registry.example/model:1 ({'a' * 12}) against registry.example/model:1 ({'b' * 12})",
    )
    same = compare(Parity(), mine, arm(of, pod(of), version="2"))
    (failed,) = (each for each in same.findings if each.state is CheckState.FAILED)
    assert failed.found.startswith("version 2 is to replace 1, yet both arms name the same model: modelcar: image ")
