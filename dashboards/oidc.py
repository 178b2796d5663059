"""Login by an OpenID Connect provider: it says who somebody is, the room whether they may enter."""

from __future__ import annotations

from typing import Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dashboards.cookies import give_token
from dashboards.desk import Desk
from dashboards.settings import Oidc
from medunet.review import accounts
from medunet.review.errors import Refused

# A SameSite=Strict cookie is sent only where our own page leads: a redirect would still be the provider's.
ENTER = '<!DOCTYPE html><meta http-equiv="refresh" content="0; url=/"><title>medunet</title><p>Welcome.</p>'
REFUSED = '<!DOCTYPE html><title>medunet</title><p>This account may not enter. <a href="/login">Back</a></p>'
CALLBACK = "/oidc/callback"


def routes(desk: Desk, provider: Oidc, **client: Any) -> list[Route]:
    """Return the way to the provider and back (authorization code with PKCE); `client`: for httpx."""
    oauth = OAuth()
    known = oauth.register(
        "provider",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", **client},
    )

    async def start(request: Request) -> Response:
        back = request.url.replace(path=CALLBACK, query="", scheme="https" if desk.secure else "http")
        answer: Response = await known.authorize_redirect(request, str(back))
        return answer

    async def callback(request: Request) -> Response:
        try:
            claims = (await known.authorize_access_token(request))["userinfo"]
            subject = f"{provider.issuer} {claims['sub']}"
            token = await run_in_threadpool(
                accounts.oidc_user, desk.room, subject, claims.get("name", ""), claims.get("email", "")
            )
        except (OAuthError, JoseError, KeyError, Refused):
            return HTMLResponse(REFUSED, 403)
        response = HTMLResponse(ENTER)
        give_token(response, token, secure=desk.secure)
        return response

    return [Route("/oidc/start", start), Route(CALLBACK, callback)]
