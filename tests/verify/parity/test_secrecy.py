"""No value of a variable, ConfigMap or Secret reaches what people read."""

from __future__ import annotations

import base64
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.api.verify import Parity, ParityGroup
from controller.plan.verify.environment import Environment, digest, fingerprint
from controller.plan.verify.parity import compare
from tests.verify.parity.arms import arm, config_map, container, contents, pod, secret, template

SECRETS = st.text(alphabet=string.ascii_letters + string.digits, min_size=12, max_size=40)


def everywhere(value: str) -> Environment:
    """Return an arm that has the value wherever an environment can hold one."""
    main = container(
        env=[
            {"name": "TOKEN", "value": value},
            {"name": "OMP_NUM_THREADS", "value": value},
            {"name": "MODEL_ID", "value": value},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}},
        ],
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "creds"}}],
        args=["--api-key", value, value, f"--model-uri=https://me:{value}@host/model?sig={value}"],
        volumeMounts=[{"name": "settings", "mountPath": "/etc/a"}, {"name": "creds", "mountPath": "/etc/b"}],
    )
    volumes: list[Any] = [{"name": "settings", "configMap": {"name": "settings"}}]
    volumes += [{"name": "creds", "secret": {"secretName": "creds"}}]
    of = template(main, volumes=volumes, annotations={"checksum/config": value})
    read = contents(
        config_map("settings", {"a.yaml": value}, edits={"kubectl": "2026-08-02T00:00:00Z"}),
        secrets=(secret("creds", {"password": base64.b64encode(value.encode()).decode()}),),
    )
    return arm(of, pod(of), read=read)


@given(SECRETS, SECRETS)
def test_values_are_never_printed(first: str, second: str) -> None:
    result = compare(Parity(require=(ParityGroup.ENV, ParityGroup.CONFIG)), everywhere(first), everywhere(second))
    printed = f"{result}"
    assert first not in printed
    assert second not in printed
    if first != second:
        assert "PASSWORD differs" in printed
        assert "file /etc/b/password differs" in printed


def test_two_secrets_of_one_content_are_equal_and_their_fingerprints_help_nobody_to_guess() -> None:
    of = template(container(env=[{"name": "P", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}}]))
    data = {"password": base64.b64encode(b"hunter2").decode()}
    first, second = (arm(of, read=contents(secrets=(secret("creds", data, uid=uid),))) for uid in ("1", "2"))
    assert compare(Parity(), first, second).environment.differences == ()
    assert first.status().declared != second.status().declared
    guessed = arm(template(container(env=[{"name": "P", "value": "hunter2"}])))
    assert fingerprint(guessed.declared) not in (first.status().declared, second.status().declared)
    (fact,) = first.declared[ParityGroup.ENV].values()
    assert fact.marks == (digest("hunter2"),)
    assert digest("hunter2") not in fact.published
