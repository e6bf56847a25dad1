#!/usr/bin/python3
"""openapi-check.py SPEC ANSWERS: answers of a gateway against an OpenAPI document.

ANSWERS has a JSON object a line: method, route (as the document names it), status, headers
(lower case), body.  Prints each fault; a documented status that no answer has is one too.
"""

import json
import re
import sys

import yaml
from jsonschema import Draft202012Validator, FormatChecker, RefResolver

with open(sys.argv[1]) as file:
    spec = yaml.safe_load(file)
resolver = RefResolver("", spec)


def resolved(node):
    while "$ref" in node:
        node = resolver.resolve(node["$ref"])[1]
    return node


def faults_of(schema, value):
    validator = Draft202012Validator(schema, resolver=resolver, format_checker=FormatChecker())
    for error in validator.iter_errors(value):
        yield f"{'/'.join(map(str, error.absolute_path))}: {error.message}"


def every_reference(node):
    """A reference that leads nowhere makes resolve() fail."""
    if isinstance(node, dict):
        if "$ref" in node:
            resolver.resolve(node["$ref"])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            every_reference(part)


def document():
    """What the document itself has to be."""
    every_reference(spec)
    seen = set()
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            name = operation["operationId"]
            if name in seen:
                yield f"{name} is there twice"
            seen.add(name)
            declared = {p["name"] for p in map(resolved, operation.get("parameters", []))
                        if p["in"] == "path"}
            if declared != set(re.findall(r"\{(\w+)\}", path)):
                yield f"{method} {path}: its parameters are {declared}"
    for name, schema in spec["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)


def answer(given):
    where = f"{given['method']} {given['route']} {given['status']}"
    operation = spec["paths"].get(given["route"], {}).get(given["method"].lower())
    if not operation:
        yield f"{where}: no such operation"
        return
    response = operation["responses"].get(str(given["status"]))
    if not response:
        yield f"{where}: this status is not documented: {given['body']}"
        return
    response = resolved(response)

    for name, header in response.get("headers", {}).items():
        header, value = resolved(header), given["headers"].get(name.lower())
        if value is None:
            if header.get("required"):
                yield f"{where}: no {name}"
        else:
            yield from (f"{where}: {name}: {fault}" for fault in faults_of(header["schema"], value))

    content = response["content"].get(given["headers"].get("content-type"))
    if content is None:
        yield f"{where}: its type is {given['headers'].get('content-type')}"
        return
    body = json.loads(given["body"])
    yield from (f"{where}: {fault}" for fault in faults_of(content["schema"], body))
    if isinstance(body, dict) and "code" in body and body["status"] != given["status"]:
        yield f"{where}: says {body['status']}"


def missing(answers):
    had = {(a["route"], a["method"].lower(), str(a["status"])) for a in answers}
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            for status in operation["responses"]:
                if (path, method, status) not in had:
                    yield f"{method} {path} {status}: no answer has this status"


with open(sys.argv[2]) as file:
    answers = [json.loads(line) for line in file]
faults = [*document(), *(f for a in answers for f in answer(a)), *missing(answers)]
print("\n".join(faults))
sys.exit(bool(faults))
