"""Names that other systems see: API group, kinds, annotations, finalizer. They never change within a version."""

from typing import Final

GROUP: Final = "modelrollout.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

ROLLOUT_KIND: Final = "ModelRollout"
ROLLOUT_PLURAL: Final = "modelrollouts"
RECORD_KIND: Final = "RolloutRecord"
RECORD_PLURAL: Final = "rolloutrecords"

FINALIZER: Final = f"{GROUP}/traffic"
"""On a ModelRollout exactly while some of its traffic is diverted from stable."""

REQUEST_ANNOTATION: Final = f"{GROUP}/request"
"""On a ModelRollout: a person's command as JSON, see ``controller.api.command``."""

TRANSITION_ANNOTATION: Final = f"{GROUP}/transition"
"""On a route or Service: ``<rollout uid>/<transition number>``, the fence that no older write may cross."""

ROLES_ANNOTATION: Final = f"{GROUP}/roles"
"""On a route or Service: which Deployment is stable and which is the backup, as JSON. Survives the ModelRollout."""

OWNER_ANNOTATION: Final = f"{GROUP}/rollout"
"""On a route or Service: name of the ModelRollout that steers it."""

ROLLOUT_LABEL: Final = f"{GROUP}/rollout"
"""On a RolloutRecord: name of the ModelRollout that it belongs to."""

EPOCH_LABEL: Final = f"{GROUP}/epoch"
"""On a RolloutRecord: the epoch that it documents."""

VERIFIED_GATE: Final = f"{GROUP}/verified"
"""Readiness gate of a pod template: a pod becomes ready only once its smoke test passed."""

ALLOW_LABEL: Final = f"{GROUP}/allow"
"""On a suspended CronJob: ``"true"`` lets rollouts of its namespace make Jobs from it."""
