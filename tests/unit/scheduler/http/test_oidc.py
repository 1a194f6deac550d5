"""A company's own tokens, signed here and checked against a small provider on this machine."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from gristmill.errors import Mistake, ServerFailed, Unauthorized
from gristmill_scheduler.http.oidc import KEYS_SECONDS, LEAST_SECONDS, Oidc, OidcSettings

AUDIENCE = "api://gristmill"


class Provider:
    """An issuer with keys, on a port of its own."""

    def __init__(self) -> None:
        self.rsa = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.ec = ECKey.generate_key("P-256", {"kid": "two"})
        self.published: list[Any] = [self.rsa, self.ec]
        self.asked: list[str] = []
        self.answers = True
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                self.send_response(200 if provider.answers else 500)
                self.end_headers()
                self.wfile.write(json.dumps(provider.document(self.path)).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def document(self, path: str) -> Any:
        if path == "/keys":
            return {"keys": [*KeySet(self.published).as_dict(private=False)["keys"], {"kty": "new", "kid": "x"}]}
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    def token(self, key: Any = None, *, header: Any = None, **claims: Any) -> str:
        key = key or self.rsa
        algorithm = {"RSA": "RS256", "EC": "ES256"}[key.key_type]
        now = int(time.time())
        given = {"iss": self.issuer, "aud": AUDIENCE, "sub": "s-1", "exp": now + 60, "roles": ["gristmill.reader"]}
        named = {name: value for name, value in {**given, **claims}.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, named, key, algorithms=[algorithm])


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.published, running.answers = [running.rsa, running.ec], True
    running.asked.clear()
    return running


@pytest.fixture
def clock() -> list[float]:
    return [10_000.0]


@pytest.fixture
def oidc(provider: Provider, clock: list[float]) -> Oidc:
    return Oidc(OidcSettings(issuer=provider.issuer, audience=AUDIENCE), clock=lambda: clock[0])


def test_tokens_of_both_kinds_of_key_say_who_asks(provider: Provider, oidc: Oidc) -> None:
    ann = oidc.check(provider.token(preferred_username="ann@example.com", roles=["x", "gristmill.invoker"]))
    app = oidc.check(provider.token(provider.ec, azp="pipeline", aud=["other", AUDIENCE], roles="gristmill.owner y"))

    assert (ann.name, ann.role, ann.way, ann.everywhere) == ("ann@example.com", "invoker", "oidc", True)
    assert (app.name, app.role) == ("pipeline", "owner")


def test_the_roles_may_stand_in_another_claim(provider: Provider) -> None:
    oidc = Oidc(OidcSettings(issuer=provider.issuer, audience=AUDIENCE, roles_claim="realm_access.roles"))

    assert oidc.check(provider.token(realm_access={"roles": ["gristmill.owner"]})).role == "owner"
    assert oidc.check(provider.token()).role is None
    assert oidc.check(provider.token(realm_access="x")).role is None


@pytest.mark.parametrize("roles", [["owner"], "owner", {"gristmill.owner": 1}, [7], None, ["gristmill.king"]])
def test_what_is_no_role_of_ours_is_none(provider: Provider, oidc: Oidc, roles: Any) -> None:
    assert oidc.check(provider.token(roles=roles)).role is None


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "http://evil.example"},
        {"iss": None},
        {"aud": "api://another"},
        {"aud": None},
        {"aud": []},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": 99_999_999_999},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_a_token_whose_claims_are_not_for_this_server_and_this_time_is_refused(
    provider: Provider, oidc: Oidc, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized):
        oidc.check(provider.token(**claims))


def test_a_token_that_is_signed_by_another_key_of_that_name_is_refused(provider: Provider, oidc: Oidc) -> None:
    forged = RSAKey.generate_key(2048, {"kid": "one"})

    with pytest.raises(Unauthorized, match="BadSignatureError"):
        oidc.check(provider.token(forged))


def part(document: Any) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def claims_of(provider: Provider) -> dict[str, Any]:
    return {"iss": provider.issuer, "aud": AUDIENCE, "sub": "s", "exp": int(time.time()) + 60}


def test_a_token_that_is_signed_with_the_public_key_as_a_secret_is_refused(provider: Provider, oidc: Oidc) -> None:
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims_of(provider))}"
    secret = provider.rsa.as_pem(private=False)

    with pytest.raises(Unauthorized, match="UnsupportedAlgorithmError"):
        oidc.check(f"{signed}.{part(hmac.digest(secret, signed.encode(), 'sha256'))}")


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "PS256"])
def test_a_token_without_a_signature_is_refused(provider: Provider, oidc: Oidc, algorithm: str) -> None:
    with pytest.raises(Unauthorized):
        oidc.check(f"{part({'alg': algorithm, 'kid': 'one'})}.{part(claims_of(provider))}.")


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "....", "é.b.c", "\0", "x" * 20_000])
def test_what_is_no_token_at_all_is_refused(oidc: Oidc, token: str) -> None:
    with pytest.raises(Unauthorized):
        oidc.check(token)


def test_a_token_with_a_changed_claim_is_refused(provider: Provider, oidc: Oidc) -> None:
    head, _, signature = provider.token().split(".")
    _, claims, _ = provider.token(roles=["gristmill.owner"]).split(".")

    with pytest.raises(Unauthorized):
        oidc.check(f"{head}.{claims}.{signature}")


def test_keys_are_read_once_and_again_when_they_are_old(provider: Provider, oidc: Oidc, clock: list[float]) -> None:
    for _ in range(3):
        oidc.check(provider.token())
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]

    clock[0] += KEYS_SECONDS
    oidc.check(provider.token())
    assert provider.asked.count("/keys") == 2


def test_a_new_key_is_found_and_unknown_ones_ask_once_a_minute(
    provider: Provider, oidc: Oidc, clock: list[float]
) -> None:
    oidc.check(provider.token())
    new = RSAKey.generate_key(2048, {"kid": "three"})
    provider.published.append(new)
    for _ in range(3):
        with pytest.raises(Unauthorized, match="none of the issuer's"):
            oidc.check(provider.token(new))
    assert provider.asked.count("/keys") == 1

    clock[0] += LEAST_SECONDS
    assert oidc.check(provider.token(new)).role == "reader"
    assert provider.asked.count("/keys") == 2


def test_while_the_provider_is_away_the_old_keys_serve_on(provider: Provider, oidc: Oidc, clock: list[float]) -> None:
    oidc.check(provider.token())
    provider.answers = False
    clock[0] += KEYS_SECONDS

    assert oidc.check(provider.token()).role == "reader"
    clock[0] += LEAST_SECONDS
    assert oidc.check(provider.token()).role == "reader"


def test_without_any_keys_it_is_the_server_that_fails_not_the_token(
    provider: Provider, oidc: Oidc, clock: list[float]
) -> None:
    provider.answers = False
    for _ in range(2):
        with pytest.raises(ServerFailed, match="its keys could not be read"):
            oidc.check(provider.token())
    assert len(provider.asked) == 1

    provider.answers = True
    clock[0] += LEAST_SECONDS
    assert oidc.check(provider.token()).role == "reader"


def test_a_provider_that_says_it_is_another_is_not_believed(provider: Provider) -> None:
    oidc = Oidc(OidcSettings(issuer=f"{provider.issuer}/other", audience=AUDIENCE))

    with pytest.raises(ServerFailed):
        oidc.check(provider.token())


@pytest.mark.parametrize("issuer", ["http://example.com", "file:///etc/passwd", "example.com", "https://"])
def test_an_issuer_whose_answers_could_be_forged_is_refused(issuer: str) -> None:
    with pytest.raises(Mistake, match="--oidc-issuer"):
        OidcSettings(issuer=issuer, audience=AUDIENCE)


def test_keys_are_never_fetched_from_where_they_could_be_forged(provider: Provider) -> None:
    discovered = {"issuer": "https://id.example", "jwks_uri": "http://id.example/keys"}
    oidc = Oidc(OidcSettings(issuer="https://id.example", audience=AUDIENCE), fetch=lambda _address: discovered)

    with pytest.raises(ServerFailed):
        oidc.check(provider.token())


def test_a_server_that_takes_both_kinds_knows_them_apart(make_world: Any, provider: Provider) -> None:
    world = make_world(oidc=Oidc(OidcSettings(issuer=provider.issuer, audience=AUDIENCE)))

    assert world.ask("GET", "/info", provider.token(email="ann@example.com")).json()["user"] == "ann@example.com"
    assert world.ask("GET", "/info", world.token("reader", name="bob")).json()["user"] == "bob"
    assert world.ask("GET", "/info", provider.token(roles=[])).status_code == 403
    assert world.ask("GET", "/info", provider.token(exp=1)).status_code == 401
    provider.answers = False
    other = make_world(oidc=Oidc(OidcSettings(issuer=provider.issuer, audience=AUDIENCE)))
    assert other.ask("GET", "/info", provider.token()).status_code == 503
