"""Rendering: one Jinja2 environment, one way to give data and texts to browser code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from web.pages.assets import Assets
from web.pages.language import COOKIE, LANGUAGES, choose_language, load_catalogues

_WEB = Path(__file__).resolve().parent.parent
_SHARED_TEXTS = ("app.", "common.", "error.", "language.", "time.")


class Renderer:
    """Renders pages in the language of the request."""

    def __init__(self) -> None:
        """Load templates, catalogues and static files once."""
        self.assets = Assets(_WEB / "static")
        self._catalogues = load_catalogues()
        self._templates = Environment(
            loader=FileSystemLoader(_WEB / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["static"] = self.assets.url
        self._templates.globals["sheet"] = self.assets.sheet
        self._templates.globals["bundle"] = self.assets.bundle
        # Our own file, not input: part of the page, so that no icon needs a request.
        self._templates.globals["sprite"] = Markup(self.assets.inline("icons.svg"))
        self._templates.globals["icon"] = _icon

    def page(
        self,
        request: web.Request,
        template: str,
        *,
        texts: tuple[str, ...] = (),
        data: Mapping[str, Any] | None = None,
        status: int = 200,
        **context: Any,
    ) -> web.Response:
        """Render a whole page.

        Args:
            request: decides the language.
            template: file in `web/templates`.
            texts: key prefixes whose texts the browser code of this page uses.
            data: what the browser code is told (readable JSON in the page, never a secret).
            status: HTTP status.
            context: for the template.
        """
        language = choose_language(
            request.cookies.get(COOKIE), request.headers.get("Accept-Language", "")
        )
        catalogue = self._catalogues[language]
        prefixes = _SHARED_TEXTS + texts
        for_browser = {k: v for k, v in catalogue.items() if k.startswith(prefixes)}
        html = self._templates.get_template(template).render(
            t=_translator(catalogue),
            language=language,
            languages=LANGUAGES,
            here=request.rel_url.path_qs,
            data_json=_script_json({**(data or {}), "language": language}),
            texts_json=_script_json(for_browser),
            **context,
        )
        headers = {
            "Cache-Control": "no-store",
            "Content-Language": language,
            "Vary": "Accept-Language, Cookie",
        }
        response = web.Response(
            text=html, content_type="text/html", charset="utf-8", status=status, headers=headers
        )
        response.enable_compression()
        return response


def _translator(catalogue: Mapping[str, str]) -> Callable[..., str]:
    """Return the template function `t("key", name=value)`."""

    def translate(key: str, **values: object) -> str:
        text = catalogue[key]
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    return translate


def _icon(name: str, *, cls: str = "") -> Markup:
    """Return an icon of the sprite; it is decoration, the word beside it speaks."""
    return Markup(
        '<svg class="icon {cls}" aria-hidden="true" focusable="false"><use href="#i-{name}"/></svg>'
    ).format(cls=cls, name=name)


def _script_json(value: object) -> Markup:
    """Return JSON that cannot end the script element it is put into."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Our own encoding of <, > and & makes the text safe inside <script type="application/json">.
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(safe)
