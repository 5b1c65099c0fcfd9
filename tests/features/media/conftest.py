"""A node that keeps media in a directory of the test's own, and people who upload."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatd.core.settings import Media, Server, Settings
from chatd.embedded import Embedded
from tests.system.conftest import settings as settings_of_system
from tests.system.world import World, world

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}


@dataclass
class Studio:
    """The world, and what people do with media in it."""

    world: World
    root: Path
    media: Media = field(default_factory=Media)

    async def begin(self, who: str, content_type: str = "image/jpeg", type_: str = "", **more: Any) -> Any:
        body = {"type": type_ or content_type.partition("/")[0], "content_type": content_type}
        status, upload = await self.world.rest(who, "POST", "/api/media", {"file_name": "x", **body, **more})
        assert status == 201, upload
        return upload

    async def put(self, url: str, data: Any, **headers: str) -> tuple[int, Any]:
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self.world.http.put(url, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def upload(self, who: str, data: bytes, content_type: str = "image/jpeg", **more: Any) -> Any:
        """Announced and sent: the medium."""
        begun = await self.begin(who, content_type, **more)
        status, medium = await self.put(begun["upload_url"], data)
        assert status == 200, medium
        return medium

    async def refused(self, who: str, data: bytes, content_type: str = "image/jpeg") -> tuple[int, str, str]:
        """Announced, sent and refused: (status, code, reason)."""
        begun = await self.begin(who, content_type)
        status, problem = await self.put(begun["upload_url"], data)
        return status, problem["code"], problem.get("reason", "")

    async def get(self, who: str | None, media_id: str, **headers: str) -> tuple[int, Any, bytes]:
        """GET /media/{id}, redirects followed: (status, headers, body)."""
        if who:
            headers["Authorization"] = f"Bearer {self.world.token(who)}"
        async with self.world.http.get(f"{self.world.url()}/api/media/{media_id}", headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()

    async def say(
        self, who: str, chat: str, *media: str, text: str = "", cmid: str = "c1", **more: Any
    ) -> Any:
        """POST a message with attachments: (status, answer)."""
        content = {"type": "text", "text": text, "attachments": [{"media_id": m} for m in media]}
        body = {"client_message_id": cmid, "content": content, **more}
        return await self.world.rest(who, "POST", f"/api/chats/{chat}/messages", body)

    async def objects(self) -> set[str]:
        """The names of all files that are kept."""
        return {path.name for path in (self.root / "objects").rglob("*") if path.is_file()}

    async def under_way(self) -> list[Path]:
        """Files that are left of uploads."""
        return list((self.root / "incoming").glob("*"))


settings = settings_of_system


@pytest.fixture
def media() -> Media:
    """The media settings; a test module may have its own."""
    return Media(uploads_per_minute=0, fetches_per_minute=0)


@pytest.fixture
async def studio(
    services: Embedded, settings: Settings, media: Media, tmp_path: Path
) -> AsyncIterator[Studio]:
    changed = msgspec.structs.replace(settings, media=media, server=Server(data_dir=str(tmp_path)))
    async with world(changed, 1) as made:
        yield Studio(made, tmp_path / "media", media)
