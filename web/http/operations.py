"""API operations: a route, its handler and its description in one value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from web.http.bodies import Shape

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Access = Literal["anyone", "host", "token"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the HTTP API.

    `access` only describes (the handler enforces): `host` = host session or an API token with
    the right grant, `token` = access token, `anyone` = no credentials. `answers` maps a status
    to a description, or to a JSON Schema.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    access: Access = "host"
    body: Shape | None = None
    query: Mapping[str, str] | None = None
    answers: Mapping[int, str | dict[str, Any]] | None = None

    @property
    def operation_id(self) -> str:
        """A stable name: method and path in words."""
        words = [word.strip("{}") for word in self.path.split("/") if word.strip("{}")]
        return "_".join([self.method.lower(), *words]).replace(".", "_").replace("-", "_")


def list_answer(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an answer that holds one list."""
    return {"type": "object", "properties": {name: {"type": "array", "items": item}}}


def add_operations(app: web.Application, operations: Iterable[Operation]) -> None:
    """Register the routes; HEAD comes with GET."""
    for operation in operations:
        if operation.method == "GET":
            app.router.add_get(operation.path, operation.handler)
        else:
            app.router.add_route(operation.method, operation.path, operation.handler)
