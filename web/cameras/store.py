"""Cameras in the database; their addresses, which hold passwords, are sealed."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.fernet import Fernet, InvalidToken

from web.settings.database import Database

log = structlog.get_logger("web.cameras")

MAX_CAMERAS: Final = 1000


@dataclass(frozen=True, slots=True)
class Camera:
    """A store camera, as everybody may see it."""

    id: str
    name: str
    room: str
    created_at_s: float


class CameraStore:
    """Keeps cameras."""

    def __init__(self, database: Database, seal_key: bytes, *, wall_s: Callable[[], float]) -> None:
        """Take the database, the 32-byte key that seals addresses, and the wall clock."""
        self._database = database
        self._seal = Fernet(base64.urlsafe_b64encode(seal_key))
        self._wall_s = wall_s

    async def add(self, name: str, room: str, url: str) -> Camera:
        """Keep a camera."""
        camera = Camera(secrets.token_hex(8), name, room, self._wall_s())
        sealed = self._seal.encrypt(url.encode())
        await self._database.change(
            "INSERT INTO cameras VALUES (?, ?, ?, ?, ?)",
            (camera.id, name, room, sealed, camera.created_at_s),
        )
        return camera

    async def all(self) -> list[Camera]:
        """Return all cameras, oldest first."""
        rows = await self._database.rows(
            "SELECT id, name, room, created_at_s FROM cameras ORDER BY created_at_s LIMIT ?",
            (MAX_CAMERAS,),
        )
        return [Camera(*row) for row in rows]

    async def find(self, camera_id: str) -> Camera | None:
        """Return one camera."""
        rows = await self._database.rows(
            "SELECT id, name, room, created_at_s FROM cameras WHERE id = ?", (camera_id,)
        )
        return Camera(*rows[0]) if rows else None

    async def url(self, camera_id: str) -> str | None:
        """Return a camera's address for pulling; it goes nowhere else. None if it is lost."""
        rows = await self._database.rows(
            "SELECT sealed_url FROM cameras WHERE id = ?", (camera_id,)
        )
        if not rows:
            return None
        try:
            return self._seal.decrypt(rows[0]["sealed_url"]).decode()
        except InvalidToken:
            log.error("camera_not_readable", camera=camera_id, hint="was seal-key replaced?")
            return None

    async def move(self, camera_id: str, room: str) -> None:
        """Put a camera into another room from now on."""
        await self._database.change("UPDATE cameras SET room = ? WHERE id = ?", (room, camera_id))

    async def remove(self, camera_id: str) -> bool:
        """Forget a camera; tells whether it was there."""
        return bool(await self._database.change("DELETE FROM cameras WHERE id = ?", (camera_id,)))
