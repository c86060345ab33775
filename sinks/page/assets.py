"""Static files of the page, under names that carry the hash of their content: cached for ever, changed at once."""

from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from pathlib import PurePath
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PREFIX: Final = "/static/"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str


class Assets:
    """The files of this release."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._files: dict[str, _File] = {}
        for entry in files(__package__).joinpath("static").iterdir():
            name = PurePath(entry.name)
            body = entry.read_bytes()
            hashed = f"{name.stem}.{blake2b(body, digest_size=6).hexdigest()}{name.suffix}"
            self._paths[entry.name] = PREFIX + hashed
            self._files[hashed] = _File(body, _TYPES[name.suffix])

    def path(self, name: str) -> str:
        """Where a file is served, by its plain name."""
        return self._paths[name]

    async def serve(self, request: Request) -> Response:
        """A file by its hashed name."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "no such file in this release")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(found.body, headers=headers, media_type=found.media_type)
