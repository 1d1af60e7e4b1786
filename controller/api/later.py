"""The fields that later releases bring, described as loosely as the CRD allows.

They are refused, see :class:`~controller.api.rules.Later`. Their parts are named all the same, because ``kubectl``
complains of unknown fields before the API server gets to say that a field is not supported yet.
"""

from typing import Final

from pydantic.json_schema import JsonSchemaValue

from controller.api.rules import Later

_TEXT: Final[JsonSchemaValue] = {"type": "string", "maxLength": 1024}
_NUMBER: Final[JsonSchemaValue] = {"x-kubernetes-int-or-string": True, "maxLength": 32}


def _object(**properties: JsonSchemaValue) -> JsonSchemaValue:
    return {"type": "object", "properties": properties}


LATER_BACKUP: Final = Later(_object(replicas=_NUMBER, keepFor=_TEXT, reverifyEvery=_TEXT, drillEvery=_TEXT))
LATER_WATCH: Final = Later(_object(weight=_NUMBER, windows=_NUMBER))
