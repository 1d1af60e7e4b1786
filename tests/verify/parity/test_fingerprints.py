"""Fingerprints: the same for the same environment in any order and at any number of pods, another for another."""

from __future__ import annotations

import random
from typing import Any

import pytest

from controller.api.verify import ParityGroup
from controller.plan.verify.environment import Environment, group_fingerprints
from tests.verify.parity.arms import OTHER_DIGEST, arm, config_map, container, contents, node, pod, template

Json = dict[str, Any]
TRIALS = range(20)


def mixed(
    value: Any, random_order: random.Random, *, lists: tuple[str, ...] = ("env", "volumes", "tolerations")
) -> Any:
    """Return the same value with its maps, and the lists whose order means nothing, in another order."""
    if isinstance(value, list):
        return [mixed(each, random_order) for each in value]
    if not isinstance(value, dict):
        return value
    keys = random_order.sample(sorted(value), len(value))
    turned = {key: mixed(value[key], random_order) for key in keys}
    return {
        key: random_order.sample(each, len(each)) if key in lists and isinstance(each, list) else each
        for key, each in turned.items()
    }


def rich(seed: int) -> Json:
    """Return a template with something in every group, different for every seed."""
    main = container(
        env=[{"name": f"V{index}", "value": f"{seed}"} for index in range(5)],
        envFrom=[{"configMapRef": {"name": "settings"}}],
        args=["--model-uri", f"s3://models/{seed}", "--dtype", "float16", "--port=80"],
        resources={"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}},
        volumeMounts=[{"name": "settings", "mountPath": "/etc/model"}],
    )
    return template(
        main,
        container("proxy", image="proxy:1"),
        annotations={"modelrollout.dev/packages": "numpy==2.0.1,scipy==1.13", "modelrollout.dev/modelDigest": "x"},
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}, {"name": "tmp", "emptyDir": {}}],
        tolerations=[{"key": "gpu", "operator": "Exists"}, {"key": "spot", "operator": "Exists"}],
        nodeSelector={"disk": "ssd", "pool": "models"},
    )


READ = contents(config_map("settings", {"a.yaml": "1", "b.yaml": "2", "c.yaml": "3"}))


def restarted(of: Json, random_order: random.Random) -> Environment:
    """Return the arm with other pods: other names, other number, other start, on nodes alike."""
    nodes = {f"node-{index}": node({"a": "1", "b": "2"}) for index in range(3)}
    pods = [
        pod(mixed(of, random_order), f"pod-{random_order.random()}", node=name, started="2026-08-01T11:30:00Z")
        for name in random_order.sample(sorted(nodes), random_order.randint(1, 3))
    ]
    return arm(mixed(of, random_order), *pods, read=READ, nodes=nodes)


@pytest.mark.parametrize("seed", TRIALS)
def test_the_fingerprint_of_a_restarted_arm_is_the_same(seed: int) -> None:
    random_order, of = random.Random(seed), rich(seed)
    before, after = restarted(of, random_order), restarted(of, random_order)
    assert before.status() == after.status()
    assert group_fingerprints(before.declared) == group_fingerprints(after.declared)


def test_twenty_environments_have_twenty_fingerprints() -> None:
    found = [arm(rich(seed), pod(rich(seed)), read=READ).status() for seed in TRIALS]
    assert len({each.declared for each in found}) == len({each.observed for each in found}) == len(TRIALS)


def test_a_change_moves_the_fingerprint_of_its_group_alone() -> None:
    of = rich(1)
    edited = contents(config_map("settings", {"a.yaml": "1", "b.yaml": "2", "c.yaml": "4"}))
    before, after = arm(of, read=READ), arm(of, read=edited)
    mine, other = group_fingerprints(before.declared), group_fingerprints(after.declared)
    # The same ConfigMap is mounted as files and imported as variables.
    assert {group for group in mine if mine[group] != other[group]} == {ParityGroup.CONFIG, ParityGroup.ENV}
    assert before.status().declared != after.status().declared


def test_another_image_behind_the_same_tag_moves_what_was_observed_alone() -> None:
    of = rich(1)
    before, after = arm(of, pod(of), read=READ).status(), arm(of, pod(of, image_id=OTHER_DIGEST), read=READ).status()
    assert before.declared == after.declared
    assert before.observed != after.observed
