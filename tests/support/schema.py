"""The documented form of ``status PROJECT --format json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[2] / "docs" / "status.schema.json"


def check_status(found: Any) -> None:
    """Raise unless `found` has exactly the documented form."""
    schema = json.loads(SCHEMA.read_text())
    kind = jsonschema.Draft202012Validator
    kind.check_schema(schema)
    kind(schema).validate(found)
