"""/api/docs: the API to read, made from its OpenAPI description; plain HTML that fetches nothing from elsewhere."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from autotrain import __version__
from autotrain.app.state import AppState
from autotrain.app.theme import request_theme

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API – AutoTrain</title>
<script src="{static}/shell.js" data-prefix="{prefix}" data-theme="{theme}"></script>
<link rel="stylesheet" href="{static}/theme.css">
<link rel="stylesheet" href="{static}/reference.css">
<link rel="icon" href="{static}/favicon.svg">
</head>
<body>
<main class="at-reference">
<h1>AutoTrain's API</h1>
<p>For programs. All addresses begin with <code>{address}</code>. As an OpenAPI description, for tools:
<a href="{prefix}/api/openapi.json">openapi.json</a>. <a href="{prefix}/">Back to the page</a></p>
{body}
</main>
</body>
</html>
"""

Description = Mapping[str, Any]
_FIRST = ("runs", "contents of a run", "config")


def routes(state: AppState) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    def docs(request: Request) -> HTMLResponse:
        prefix = state.settings.prefix
        body = "\n".join(_groups(request.app.openapi()))
        address = html.escape(f"{request.base_url.scheme}://{request.base_url.netloc}{prefix}")
        static, theme = f"{prefix}/static/{__version__}", request_theme.get()
        return HTMLResponse(_PAGE.format(static=static, prefix=prefix, theme=theme, address=address, body=body))

    return router


def _groups(api: Description) -> Iterator[str]:
    """A section for each tag."""
    groups: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, call in methods.items():
            tag = (call.get("tags") or ["more"])[0]
            groups.setdefault(tag, []).append(_call(method, path, call, api))
    for tag in sorted(groups, key=lambda tag: _FIRST.index(tag) if tag in _FIRST else len(_FIRST)):
        title = tag[:1].upper() + tag[1:]
        yield f"<section><h2>{html.escape(title)}</h2>\n" + "\n".join(groups[tag]) + "</section>"


def _call(method: str, path: str, call: Description, api: Description) -> str:
    text = html.escape(call.get("description") or call.get("summary") or "")
    head = f'<h3><span class="at-chip">{method.upper()}</span> <code>{html.escape(path)}</code></h3>'
    parts = [head, *(f"<p>{part}</p>" for part in text.split("\n\n") if part)]
    parts += _table("Parameters", [_parameter(one, api) for one in call.get("parameters", ())])
    body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        parts += _table("Body, JSON", _fields(body, api))
    answer = next((one for status, one in call.get("responses", {}).items() if status.startswith("2")), {})
    said = answer.get("content", {}).get("application/json", {}).get("schema")
    if said:
        parts += _table("Answer, JSON", _fields(said, api))
    return '<article class="at-card">' + "\n".join(parts) + "</article>"


def _table(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    lines = "".join(map(_row, rows))
    return [f"<details><summary>{title}</summary><table>{lines}</table></details>"]


def _row(row: tuple[str, str, str]) -> str:
    name, kind, what = map(html.escape, row)
    head = f'<th scope="row"><code>{name}</code></th>' if name else ""
    return f"<tr>{head}<td>{kind}</td><td>{what}</td></tr>"


def _parameter(one: Description, api: Description) -> tuple[str, str, str]:
    schema = one.get("schema", {})
    kind = _kind(schema, api) + (", needed" if one.get("required") else _default(schema))
    return one["name"], f"{one['in']}, {kind}", one.get("description", "")


def _fields(schema: Description, api: Description) -> list[tuple[str, str, str]]:
    """Those of an object; one row for anything else."""
    found = _resolved(schema, api)
    needed = found.get("required", ())
    fields = found.get("properties", {})
    if not fields:
        return [("", _kind(schema, api), found.get("description", ""))]
    return [
        (name, _kind(one, api) + (", needed" if name in needed else _default(one)), one.get("description", ""))
        for name, one in fields.items()
    ]


def _resolved(schema: Description, api: Description) -> Description:
    name = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][name] if name else schema


def _kind(schema: Description, api: Description) -> str:
    """A type in words: `list of RunView`, `number or null`."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one, api) for one in schema["anyOf"])
    kind = str(schema.get("type", "anything"))
    return f"list of {_kind(schema.get('items', {}), api)}" if kind == "array" else kind


def _default(schema: Description) -> str:
    default = schema.get("default")
    return "" if default is None or default == "" else f", {default} if not given"
