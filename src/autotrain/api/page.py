"""What a Space made by `autotrain space create` shows until the web page is there: who is signed in, and that it is well."""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autotrain import __version__
from autotrain.api.sign_in import LOGIN, LOGOUT, SignIn

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>AutoTrain</title></head>
<body>
<h1>AutoTrain {version}</h1>
{body}
<p>The web page is not in this version. Until it is, train with <code>autotrain --config FILE</code>.</p>
</body>
</html>
"""


def build_page(environment: Mapping[str, str]) -> "Starlette":
    """The application.  environment: of a process in a Space.  Raises ConfigError where there is no sign-in."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    sign_in = SignIn(environment)

    def root(request: "Request") -> "Response":
        return _root(sign_in, request.cookies)

    def health(request: "Request") -> "Response":
        return PlainTextResponse("OK")

    return Starlette(routes=[Route("/", root), Route("/health", health), *sign_in.routes()])


def _root(sign_in: SignIn, cookies: Mapping[str, str]) -> "Response":
    from starlette.responses import HTMLResponse

    session = sign_in.session(cookies)
    if session is None:
        # A new tab: inside the hub's frame a browser may hold cookies back.
        body = f'<p><a href="{LOGIN}" target="_blank">Sign in with Hugging Face</a></p>'
    else:
        body = f'<p>Signed in as {html.escape(session.name)}. <a href="{LOGOUT}">Sign out</a></p>'
    return HTMLResponse(_PAGE.format(version=__version__, body=body))
