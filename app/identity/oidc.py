"""Sign-in through an OpenID Connect provider: authorisation code with PKCE, state and nonce.

Asked is the configured issuer's host and no other: the session below knows no way to another one, whatever the
provider's own description says, follows no redirects, and heeds no proxy of the environment. Believed is only a token
that the issuer signed for us, now, in answer to the question this browser asked.
"""

import secrets
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from requests.adapters import HTTPAdapter

from app.identity.mapping import Person

SOURCE = "oidc"
# Signatures that only the issuer can make: none that a client's secret makes, and never "none".
SIGNED_BY = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
LEEWAY = 60  # seconds that two clocks may differ
MOST_GROUPS, LONGEST = 500, 300


class ProviderDown(Exception):
    """The provider does not answer, or not as it should; its text is for the log."""


class NotBelieved(Exception):
    """The answer does not belong to our question, or is not the issuer's; its text is for the log."""


class Question(NamedTuple):
    """What one browser was sent to the provider with; kept with its session until it comes back."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


def ask(settings, redirect_uri):
    """(the provider's address to go to, the question to keep)."""
    question = Question(*(secrets.token_urlsafe(32) for _ in range(3)), redirect_uri)
    with _session(settings, redirect_uri) as session:
        about = _metadata(settings, session)
        url, _ = session.create_authorization_url(
            _ours(settings, about, "authorization_endpoint"),
            state=question.state,
            nonce=question.nonce,
            code_verifier=question.verifier,
        )
    return url, question


def believe(settings, question, answer):
    """Who came back with this answer (the query of the address he came to), if all of it holds; else NotBelieved."""
    if not secrets.compare_digest(answer.get("state", ""), question.state):
        raise NotBelieved("another state than we sent")
    if answer.get("iss", settings.OIDC_ISSUER) != settings.OIDC_ISSUER:
        raise NotBelieved(f"an answer of {answer['iss']}")  # RFC 9207
    if "error" in answer or not answer.get("code"):
        raise NotBelieved(f"no code: {answer.get('error', '-')[:100]}")
    try:
        with _session(settings, question.redirect_uri) as session:
            about = _metadata(settings, session)
            token = session.fetch_token(
                _ours(settings, about, "token_endpoint"),
                code=answer["code"],
                code_verifier=question.verifier,
                grant_type="authorization_code",
            )
            keys = KeySet.import_key_set(_json(session, _ours(settings, about, "jwks_uri")))
            claims = _checked(settings, token, keys, question.nonce)
            if "userinfo_endpoint" in about:
                claims = _more(session, _ours(settings, about, "userinfo_endpoint"), claims)
    except (requests.RequestException, ValueError) as error:
        raise ProviderDown(str(error))
    except (AuthlibBaseError, JoseError) as error:
        raise NotBelieved(str(error))
    return person_of(settings, claims), claims.get("email_verified") is True


def person_of(settings, claims):
    """What the claims say of somebody."""
    mail = _text(claims, "email") if claims.get("email_verified") is not False else ""
    username = _text(claims, "preferred_username") or mail or claims["sub"]
    groups = claims.get(settings.OIDC_GROUPS_CLAIM)
    groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Person(
        source=SOURCE,
        issuer=settings.OIDC_ISSUER,
        subject=claims["sub"],
        username=username.casefold()[:64],
        email=mail,
        first_name=_text(claims, "given_name"),
        last_name=_text(claims, "family_name") or _text(claims, "name"),
        groups=tuple(sorted(one[:LONGEST] for one in groups[:MOST_GROUPS] if isinstance(one, str))),
    )


def _text(claims, name):
    value = claims.get(name)
    return value.replace("\x00", "").strip()[:LONGEST] if isinstance(value, str) else ""


# --------------------------------------------------------------------------------------------- asking it


def _session(settings, redirect_uri):
    session = OAuth2Session(
        settings.OIDC_CLIENT_ID,
        settings.OIDC_CLIENT_SECRET or None,
        token_endpoint_auth_method="client_secret_basic" if settings.OIDC_CLIENT_SECRET else "none",
        scope=settings.OIDC_SCOPES,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        default_timeout=settings.OIDC_TIMEOUT,
    )
    session.trust_env = False
    session.max_redirects = 0
    session.adapters.clear()
    session.mount(f"{_origin(settings.OIDC_ISSUER)}/", HTTPAdapter())
    return session


def _metadata(settings, session):
    """How the provider describes itself, checked to be the issuer that we mean."""
    address = settings.OIDC_ISSUER.rstrip("/") + "/.well-known/openid-configuration"
    try:
        about = _json(session, address)
    except (requests.RequestException, ValueError) as error:
        raise ProviderDown(str(error))
    if about.get("issuer") != settings.OIDC_ISSUER:
        raise ProviderDown(f"it calls itself {about.get('issuer')!r}")
    return about


def _ours(settings, about, name):
    """An address out of the provider's description, if it lies on the issuer's host."""
    address = about.get(name)
    if not isinstance(address, str) or _origin(address) != _origin(settings.OIDC_ISSUER):
        raise ProviderDown(f"its {name} is {address!r}, not on the issuer's host")
    return address


def _json(session, address):
    answer = session.request("GET", address, withhold_token=True, allow_redirects=False)
    if answer.status_code != 200:
        raise ValueError(f"{address} answered {answer.status_code}")
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError(f"{address} answered no object")
    return found


def _checked(settings, token, keys, nonce):
    """The claims of the id token: signed by the issuer, for us, in answer to our nonce, and not run out."""
    if not isinstance(token.get("id_token"), str):
        raise NotBelieved("no id token")
    registry = JWSRegistry(algorithms=SIGNED_BY, strict_check_header=False)
    decoded = jwt.decode(token["id_token"], key=keys, registry=registry)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {
            "iss": {"essential": True, "value": settings.OIDC_ISSUER},
            "aud": {"essential": True, "value": settings.OIDC_CLIENT_ID},
        },
        {"nonce": nonce, "client_id": settings.OIDC_CLIENT_ID, "access_token": token.get("access_token")},
    )
    claims.validate(leeway=LEEWAY)
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= LONGEST:
        raise NotBelieved("no usable subject")
    return dict(claims)


def _more(session, address, claims):
    """What the provider tells of this person beyond the token; of another one, it is not believed."""
    answer = session.request("GET", address, allow_redirects=False)
    if answer.status_code != 200:
        raise ValueError(f"{address} answered {answer.status_code}")
    more = answer.json()
    if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
        raise NotBelieved("the provider tells of somebody else")
    return more | claims


def _origin(address):
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()
