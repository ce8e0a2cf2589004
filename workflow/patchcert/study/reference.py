"""``docs/configuration.md``, written from the schema: ``python -m patchcert.study.reference`` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from patchcert.provenance import whole_file
from patchcert.study.config import resolved, schema

FILE = Path(__file__).parents[3] / "docs" / "configuration.md"
INTRODUCTION = """\
# Configuration

Written by `python -m patchcert.study.reference` from `workflow/schemas/config.schema.yaml`; do not edit.

`config/study.yaml` is the default study. `snakemake --configfile FILE` replaces it where FILE names its own `study`; without
that key, FILE changes only what it names. A key that is unknown, or a value that is wrong, stops `snakemake` before anything
runs, with a line that says what to write instead.

`NAME` stands for a name that you choose, in lower-case letters, digits and underscores; `N` for each entry of a list, counted
from 0 in messages. Sizes are rows before columns.
"""
HEADER = "| key | takes | default | meaning | example |\n|:--|:--|:--|:--|:--|"
LIMITS = {"minimum": " from {}", "exclusiveMinimum": " above {}", "maximum": " to {}", "exclusiveMaximum": " below {}"}
WORDS = {"integer": "whole number", "number": "number", "string": "text", "object": "block", "boolean": "`true` or `false`"}


def reference() -> str:
    """Every key of the configuration with what it takes, its default, its meaning and an example, as Markdown."""
    parts = [INTRODUCTION]
    for key, node in schema()["properties"].items():
        rows = "\n".join(_rows(key, resolved(node), required="required" if key in schema()["required"] else ""))
        parts.append(f"## `{key}`\n\n{HEADER}\n{rows}\n")
    return "\n".join(parts)


def _rows(key: str, node: Mapping[str, Any], *, required: str) -> Iterator[str]:
    default = required or (_code(node["default"]) if "default" in node else "none")
    yield f"| `{key}` | {_takes(node)} | {default} | {node['description']} | {_code(node['examples'][0])} |"
    entry = resolved(node.get("additionalProperties") or node.get("items", {}))
    if "properties" in entry:
        yield from _rows_below(f"{key}.{'N' if 'items' in node else 'NAME'}", entry)
    yield from _rows_below(key, node)


def _rows_below(key: str, node: Mapping[str, Any]) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        required = "required" if name in node.get("required", []) else _condition(name, node)
        yield from _rows(f"{key}.{name}", resolved(child), required=required)


def _condition(name: str, node: Mapping[str, Any]) -> str:
    """When a key is required, if that depends on another key."""
    conditions = [
        f"required with {' or '.join(map(_code, values.get('enum', [values.get('const')])))}"
        for case in node.get("allOf", [])
        if name in case["then"].get("required", [])
        for values in case["if"]["properties"].values()
    ]
    return " or ".join(conditions)


def _takes(node: Mapping[str, Any], plural: str = "") -> str:
    if "enum" in node:
        return " or ".join(_code(value) for value in node["enum"])
    kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
    limits = "".join(words.format(node[limit]) for limit, words in LIMITS.items() if limit in node)
    words = []
    for kind in kinds:
        if kind == "array":
            words.append(_list(node))
        elif kind in ("integer", "number"):
            words.append(f"{WORDS[kind]}{plural}{limits}")
        elif kind == "null":
            words.append("`null`")
        else:
            words.append(f"{'name' if 'pattern' in node else WORDS[kind]}{plural}")
    return " or ".join(words)


def _list(node: Mapping[str, Any]) -> str:
    if "minItems" in node and node["minItems"] == node.get("maxItems"):
        return "`[rows, columns]`"
    most = f", at most {node['maxItems']}" if "maxItems" in node else ""
    return f"list of {_takes(resolved(node['items']), plural='s')}{most}"


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def write(file: Path = FILE) -> None:
    """Write the documentation of the configuration."""
    with whole_file(file) as temporary:
        temporary.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write()
