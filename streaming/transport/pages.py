"""The pages, and the modules and styles that they load: files, compressed on the way.

`/` captions what this browser hears, `/watch/ID` reads along with a session, `/calls` shows all of them. Whatever a
page shows it asks for by the routes that everybody has, so these need no key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGES: Final = {"/": "index.html", "/watch/{session}": "watch.html", "/calls": "calls.html"}
FOLDERS: Final = ("page", "sdk")
FRESH: Final = "no-cache"
"""Kept by browsers, but asked for again: a page and its modules must be of one version."""
SMALLEST_COMPRESSED_BYTES: Final = 500


def page_routes() -> list[BaseRoute]:
    """Empty where the web client is not installed."""
    folder = web_folder()
    if folder is None:
        return []
    routes: list[BaseRoute] = [Route(path, _page(folder / "page" / name)) for path, name in PAGES.items()]
    routes += [Mount(f"/{name}", _Files(directory=folder / name)) for name in FOLDERS]
    return [Mount("/", GZipMiddleware(Router(routes), minimum_size=SMALLEST_COMPRESSED_BYTES))]


def web_folder() -> Path | None:
    """Where the web client lies: beside the packages in a source tree, inside them when installed."""
    packages = Path(__file__).parents[1]
    candidates = (packages.parent / "clients" / "web", packages / "web")
    return next((folder for folder in candidates if (folder / "page" / "index.html").is_file()), None)


def _page(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return FileResponse(file, headers={"Cache-Control": FRESH})

    return page


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = FRESH
        return response
