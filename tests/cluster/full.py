"""The full size: on kind where Docker and kind are usable, else on a node of our own."""

from __future__ import annotations

import enum

from tests.cluster import buildah, debian, images, kind, native, node
from tests.cluster.layout import ClusterError, Layout


class Runtime(enum.StrEnum):
    """What the full cluster runs on."""

    KIND = "kind"
    OWN = "own"


def runtime(layout: Layout, wished: Runtime | None = None) -> Runtime:
    """Return what the cluster runs on if it exists, else what is wished for, else what this machine can."""
    record = layout.folder / "runtime"
    if record.exists():
        return Runtime(record.read_text())
    against = {Runtime.KIND: kind.unusable(), Runtime.OWN: node.unusable()}
    for candidate in [wished] if wished else list(Runtime):
        if not against[candidate]:
            return candidate
    reasons = "; ".join(f"{name}: {reason}" for name, reason in against.items() if wished in (None, name))
    raise ClusterError(f"the full cluster cannot run here ({reasons})")


def up(layout: Layout, *, wished: Runtime | None) -> None:
    """Bring it up, or repair it."""
    chosen = runtime(layout, wished)
    layout.folder.mkdir(parents=True, exist_ok=True)
    (layout.folder / "runtime").write_text(chosen)
    if chosen is Runtime.KIND:
        kind.up(layout)
    else:
        node.up(layout)


def packages(layout: Layout) -> None:
    """Install what it needs of Debian, without bringing it up; on kind that is nothing."""
    if runtime(layout) is Runtime.OWN:
        debian.ensure()


def down(layout: Layout) -> None:
    """End it."""
    if (layout.folder / "runtime").exists() and runtime(layout) is Runtime.KIND:
        kind.down(layout)
    else:
        node.down(layout)


def load(layout: Layout, image: images.Image) -> None:
    """Build an image, and make it known to the cluster; building is all if the cluster is down."""
    if runtime(layout) is Runtime.KIND:
        kind.load(layout, image)
        return
    archive = buildah.archive(image)
    if native.running(layout):
        node.load(layout, image, archive)
