"""GET /api/openapi.json: the API described from the same table that routes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from web.http.operations import Operation

PROBLEM = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "code": {"type": "string", "description": "stable, for programs"},
        "message": {"type": "string", "description": "for people"},
    },
}
SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "anyone": [],
    "host": [{"session": []}, {"token": []}],
    "token": [{"token": []}],
}


def describe(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r":[^}]+}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Aislecast",
            "version": version,
            "description": "Calls that change something with a session cookie carry the header "
            "`X-Requested-With: aislecast`. Errors are problem documents with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "aislecast_host"},
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def openapi_operation(operations: list[Operation], *, version: str) -> Operation:
    """Return the operation that serves the description of all operations, itself included."""

    async def handle(_request: web.Request) -> web.Response:
        return web.json_response(describe(operations, version=version))

    return Operation(
        "GET",
        "/api/openapi.json",
        handle,
        "This description (OpenAPI 3.1)",
        "operations",
        access="anyone",
        answers={200: {"type": "object"}},
    )


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": SECURITY[operation.access],
        "responses": {
            str(status): _answer(status, answer)
            for status, answer in (operation.answers or {200: "Done."}).items()
        },
    }
    if operation.path.startswith("/api/"):
        content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        described["responses"]["default"] = {"description": "Refused.", "content": content}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)", operation.path)
    ] + [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in (operation.query or {}).items()
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "content": {"application/json": {"schema": operation.body.schema()}}
        }
    return described


def _answer(status: int, answer: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"description": answer}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": answer}},
    }
