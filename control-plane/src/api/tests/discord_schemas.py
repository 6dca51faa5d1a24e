"""Makes discord_schemas.json from a copy of discord/discord-api-spec's openapi.json:

    python3 discord_schemas.py openapi.json 2026-07-18

Of the operations that the extract has already it takes the success answers and every schema that they reach, without
descriptions. An operation is added by adding its name, as in "GET /gateway", to `statuses` before running this.
"""

import json
import pathlib
import sys

EXTRACT = pathlib.Path(__file__).with_name("discord_schemas.json")
PREFIX = "#/components/schemas/"
# Numbers that Discord's documentation and messages have and this description has not: 1 is a forward.
FORGOTTEN = {"MessageReferenceType": [1]}


def bare(node):
    """Without prose and formats. A field may have one of these names, too; then it is an object."""
    if isinstance(node, list):
        return [bare(part) for part in node]
    if not isinstance(node, dict):
        return node
    unused = ("title", "description", "examples", "format", "default")
    return {key: bare(part) for key, part in node.items() if key not in unused or isinstance(part, dict)}


def references(node):
    if isinstance(node, list):
        return {name for part in node for name in references(part)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].removeprefix(PREFIX)} if isinstance(node.get("$ref"), str) else set()
    return own.union(*(references(part) for part in node.values()))


def main(source, snapshot):
    spec = json.loads(pathlib.Path(source).read_text())
    statuses, operations = {}, {}
    for name in sorted(json.loads(EXTRACT.read_text())["statuses"]):
        method, path = name.split(" ")
        answers = spec["paths"][path][method.lower()]["responses"]
        answers = {status: answer for status, answer in answers.items() if status.startswith("2")}
        statuses[name] = sorted(int(status) for status in answers)
        schemas = [answer["content"]["application/json"]["schema"] for answer in answers.values() if "content" in answer]
        distinct = [schema for index, schema in enumerate(schemas) if schema not in schemas[:index]]
        if distinct:
            operations[name] = bare(distinct[0] if len(distinct) == 1 else {"oneOf": distinct})
    for name in ("ErrorResponse", "RatelimitedResponse"):
        operations[name] = {"$ref": PREFIX + name}
    found, todo = {}, references(operations)
    while todo:
        name = todo.pop()
        found[name] = bare(spec["components"]["schemas"][name])
        for number in FORGOTTEN.get(name, ()):
            found[name]["oneOf"].append({"const": number})
        todo |= references(found[name]) - found.keys()
    licence = (
        f"Extract of discord/discord-api-spec (openapi.json, snapshot of {snapshot}), MIT licence, see "
        "discord_schemas.LICENSE. Only what our routes answer with, without descriptions; made by discord_schemas.py."
    )
    extract = {"_license": licence, "operations": operations, "schemas": dict(sorted(found.items())), "statuses": statuses}
    EXTRACT.write_text(json.dumps(extract, indent=0, separators=(",", ":")) + "\n")


main(*sys.argv[1:])
