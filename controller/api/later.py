"""The fields that later releases bring, described as loosely as the CRD allows.

They are refused, see :class:`~controller.api.rules.Later`. Their parts are named all the same, because ``kubectl``
complains of unknown fields before the API server gets to say that a field is not supported yet.
"""

from typing import Final

from pydantic.json_schema import JsonSchemaValue

from controller.api.rules import Later

_TEXT: Final[JsonSchemaValue] = {"type": "string", "maxLength": 1024}
_NUMBER: Final[JsonSchemaValue] = {"x-kubernetes-int-or-string": True, "maxLength": 32}
_PLAIN_MAP: Final[JsonSchemaValue] = {"type": "object", "maxProperties": 32, "additionalProperties": _NUMBER}


def _object(**properties: JsonSchemaValue) -> JsonSchemaValue:
    return {"type": "object", "properties": properties}


LATER_TEXT: Final = Later(_TEXT)
LATER_NUMBER: Final = Later({"type": "integer"})
LATER_BACKUP: Final = Later(_object(replicas=_NUMBER, keepFor=_TEXT, reverifyEvery=_TEXT, drillEvery=_TEXT))
LATER_WATCH: Final = Later(_object(weight=_NUMBER, windows=_NUMBER))
LATER_VERIFY: Final = Later(
    _object(
        smoke=_PLAIN_MAP,
        parity=_PLAIN_MAP,
        provenance=_PLAIN_MAP,
        reproduction=_PLAIN_MAP,
        pipeline={"type": "array", "maxItems": 32, "items": _PLAIN_MAP},
    )
)
