"""The field reference: every field of a kind, from the same schema as its CustomResourceDefinition."""

import json
from collections.abc import Iterator
from typing import Final

from pydantic.json_schema import JsonSchemaValue

from controller.api.model import ApiModel
from controller.api.presets import LATENCIES, PRESETS
from controller.api.record import RolloutRecordSpec
from controller.api.rules import NOT_SUPPORTED, VALIDATIONS
from controller.api.schema import structural_schema, walk
from controller.api.spec import Margin, ModelRolloutSpec
from controller.api.status import ModelRolloutStatus
from docs.markdown import NOTE, code, table

_SPEC: Final = """\
# ModelRollout.spec

What the user writes. Everything but `stable.deployment`, one router in `traffic` and one metric may be left out.
Durations are strings such as `30s` or `1h30m`, shares and probabilities decimal strings such as `"0.01"`: there are no
floats. `[]` stands for each entry of a list. `kubectl explain modelrollout.spec` says the same.
"""
_LATER: Final = """\
## Refused so far

These fields have their place and are refused at admission with "this field is not supported yet; remove it", so that
nothing that is written is silently ignored.
"""
_STATUS: Final = """\
# ModelRollout.status

What the operator knows and has decided; only the operator writes it. Numbers are strings, written for people.
"""
_RECORD: Final = """\
# RolloutRecord.spec

One page of the evidence of an epoch; [records.md](../records.md) says how to read it. Counts are strings, so that no
digit is lost.
"""
_PRESETS: Final = """\
# Presets

Counters of known model servers. A preset brings `bad`, `total`, a default margin, and `allowAbsent: true`. The operator
adds matchers for the namespace and the arms' pods to every selector. Traps per server: [metrics.md](../metrics.md).
"""


_LATENCIES: Final = """\
## Latency

Presets of kind `histogram`: how long whole requests take, by the server's own classic histogram. The margin is that of
the share of requests above any bucket edge.
"""


def spec_page() -> str:
    """Return docs/reference/spec.md."""
    later = [code(path.lstrip(".")) for path, schema in _fields(ModelRolloutSpec) if _is_later(schema)]
    return "\n".join(
        (
            NOTE,
            _SPEC,
            _field_table(ModelRolloutSpec),
            "## Rules\n",
            "Broken ones are refused by `kubectl apply` with this text.\n",
            _rules(ModelRolloutSpec),
            _LATER,
            "\n".join(f"- {path}" for path in later) + "\n",
        )
    )


def status_page() -> str:
    """Return docs/reference/status.md."""
    return "\n".join((NOTE, _STATUS, _field_table(ModelRolloutStatus)))


def record_page() -> str:
    """Return docs/reference/record.md."""
    return "\n".join((NOTE, _RECORD, _field_table(RolloutRecordSpec)))


def presets_page() -> str:
    """Return docs/reference/presets.md."""
    rows = (
        (code(name), code(preset.ratio.bad), code(preset.ratio.total), _margin(preset.margin))
        for name, preset in PRESETS.items()
    )
    latencies = (
        (code(name), code(preset.histogram.buckets), _margin(preset.margin)) for name, preset in LATENCIES.items()
    )
    return "\n".join(
        (
            NOTE,
            _PRESETS,
            table(("Preset", "bad", "total", "Margin"), rows),
            _LATENCIES,
            table(("Preset", "buckets", "Margin"), latencies),
        )
    )


def _margin(margin: Margin) -> str:
    parts = []
    if margin.absolute is not None:
        parts.append(str(margin.absolute))
    if margin.relative is not None:
        parts.append(f"{margin.relative} × stable's rate")
    return parts[0] if len(parts) == 1 else f"the larger of {' and '.join(parts)}"


def _field_table(model: type[ApiModel]) -> str:
    rows = (
        (code(path.lstrip(".")), _type(schema), _default(schema), schema.get("description", ""))
        for path, schema in _fields(model)
        if not _is_later(schema)
    )
    return table(("Field", "Type", "Default", "Meaning"), rows)


def _fields(model: type[ApiModel]) -> Iterator[tuple[str, JsonSchemaValue]]:
    """Yield the fields with a meaning of their own, without those inside of fields that are refused."""
    refused: list[str] = []
    for path, schema in walk(structural_schema(model)):
        if not path or path.endswith("[]") or any(path.startswith(each) for each in refused):
            continue
        if _is_later(schema):
            refused.append(f"{path}.")
            refused.append(f"{path}[")
            refused.append(f"{path}{{")
        yield path, schema


def _is_later(schema: JsonSchemaValue) -> bool:
    return any(rule["message"] == NOT_SUPPORTED for rule in schema.get(VALIDATIONS, ()))


def _type(schema: JsonSchemaValue) -> str:
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def _default(schema: JsonSchemaValue) -> str:
    if "default" not in schema or schema.get("type") == "object":
        return ""
    return code(json.dumps(schema["default"]))


def _rules(model: type[ApiModel]) -> str:
    lines: dict[str, None] = {}
    for path, schema in walk(structural_schema(model)):
        for rule in schema.get(VALIDATIONS, ()):
            if rule["message"] != NOT_SUPPORTED:
                place = f"{path}{rule.get('fieldPath', '')}".lstrip(".") or "spec"
                lines[f"- {code(place)}: {rule['message']}\n"] = None
    return "".join(lines)
