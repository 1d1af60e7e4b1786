"""Keeps Prometheus's list of targets equal to the annotated pods, asking the API once a second.

A pod annotated `prometheus.io/scrape: "true"` is a target from the moment it has an address until it ends or is
deleted. `prometheus.io/port` (default 8080) and `prometheus.io/path` (default /metrics) say where; the labels
`namespace` and `pod` say whose the numbers are.
"""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PERIOD_SECONDS = 1.0
ENDED = ("Succeeded", "Failed")


def target(pod: Any) -> dict[str, object] | None:
    """Return the target that a pod asks to be, or None."""
    metadata, status = pod["metadata"], pod["status"]
    wishes = metadata.get("annotations", {})
    if wishes.get("prometheus.io/scrape") != "true" or not status.get("podIP") or status["phase"] in ENDED:
        return None
    labels = {
        "namespace": metadata["namespace"],
        "pod": metadata["name"],
        "__metrics_path__": wishes.get("prometheus.io/path", "/metrics"),
    }
    return {"targets": [f"{status['podIP']}:{wishes.get('prometheus.io/port', '8080')}"], "labels": labels}


def pods(context: ssl.SSLContext) -> list[Any]:
    """Return all pods, as the API server's cache has them."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    # Read each time: the kubelet renews the token.
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    request = urllib.request.Request(f"https://{host}:{port}/api/v1/pods?resourceVersion=0", headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=5) as answer:
        items: list[Any] = json.load(answer)["items"]
    return items


def main() -> None:
    """Write the file whenever its content changes."""
    file = Path(sys.argv[1])
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    written = None
    while True:
        try:
            text = json.dumps([found for pod in pods(context) if (found := target(pod))], indent=1)
        except OSError as error:
            # The last list stays: an API server that is away has not deleted the pods.
            print(f"no list of pods: {error}", flush=True)
        else:
            if text != written:
                draft = file.with_suffix(".draft")
                draft.write_text(text)
                draft.rename(file)
                written = text
        time.sleep(PERIOD_SECONDS)


if __name__ == "__main__":
    main()
