"""The name of one rollout within the process."""

from typing import NamedTuple


class Key(NamedTuple):
    """A ModelRollout by namespace and name; written ``namespace/name`` in logs."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
