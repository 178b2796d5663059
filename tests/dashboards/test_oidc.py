"""Single sign-on against a small provider in this process."""

import time
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboards import oidc
from dashboards.guard import Guard
from dashboards.routes import api
from dashboards.settings import Oidc
from medunet.review import accounts

ISSUER = "https://id.test"
KEY = jwk.RSAKey.generate_key(2048, {"kid": "one"})


class Provider:
    """What a provider answers; `claims` are what it says about whoever comes."""

    def __init__(self):
        self.claims, self.nonce = {"sub": "s-1", "name": "Ann"}, ""

    def app(self):
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.about),
                Route("/keys", self.keys),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    async def about(self, _request):
        ends = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": ISSUER, **{key: f"{ISSUER}/{path}" for key, path in ends.items()}})

    async def keys(self, _request):
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    async def token(self, request):
        assert "code_verifier" in (await request.form())
        said = {"iss": ISSUER, "aud": "medunet", "exp": int(time.time()) + 60, "iat": int(time.time())}
        claims = {**said, "nonce": self.nonce, **self.claims}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def browser(reading, provider):
    known = Oidc(ISSUER, "medunet", "secret")
    way = oidc.routes(reading.desk, known, transport=httpx2.ASGITransport(provider.app()))
    stack = [
        Middleware(Guard, who=reading.desk.who, hosts=frozenset({"room.test"})),
        Middleware(SessionMiddleware, secret_key="of this test"),
    ]
    app = Starlette(routes=[*api(reading.desk), *way], middleware=stack)
    return TestClient(app, "http://room.test", follow_redirects=False)


def come_back(browser, provider):
    away = browser.get("/oidc/start")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["redirect_uri"] == ["http://room.test/oidc/callback"]
    provider.nonce = asked["nonce"][0]
    return browser.get("/oidc/callback", params={"code": "c", "state": asked["state"][0]})


def test_a_known_subject_enters(reading, browser, provider):
    accounts.add_user(reading.desk.room, "ann", None, "viewer", "test")
    accounts.set_subject(reading.desk.room, "ann", f"{ISSUER} s-1", "test")
    assert come_back(browser, provider).status_code == 200
    assert browser.get("/api/v1/me").json()["user"] == "ann"


def test_an_unknown_subject_does_not(browser, provider):
    assert come_back(browser, provider).status_code == 403
    assert browser.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("claims", [{"aud": "other"}, {"iss": "https://evil.test"}, {"nonce": "other"}])
def test_what_was_said_to_others_does_not_count(reading, browser, provider, claims):
    accounts.add_user(reading.desk.room, "ann", None, "viewer", "test")
    accounts.set_subject(reading.desk.room, "ann", f"{ISSUER} s-1", "test")
    provider.claims |= claims
    assert come_back(browser, provider).status_code == 403


def test_an_answer_that_nobody_asked_for_is_refused(browser):
    assert browser.get("/oidc/callback", params={"code": "c", "state": "s"}).status_code == 403
