"""Static files of the page, named by the hash of their content, so that browsers may cache them for ever."""

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
        """The path of a file, by its name in `static`."""
        return self._paths[name]

    async def serve(self, request: Request) -> Response:
        """Serve a file by its hashed name."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404, "file not found in this release")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(file.body, headers=headers, media_type=file.media_type)
