"""Foyer's settings: one list, each with its reason, read from the environment and from one file.

The file is `$FOYER_HOME/foyer.env`, lines of `NAME=value`; the environment wins over it. A wrong value, and a
name that does not exist, is one clear sentence at start (`WrongSetting`), never a guess.
"""

import io
import os
import re
import secrets
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from babel.core import get_global
from dotenv.parser import parse_stream
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

BASE = Path(__file__).resolve().parent
SETTINGS_FILE = "foyer.env"
KEY_LENGTH = 32  # bytes; the least that still cannot be guessed

POSTGRESQL = "postgresql+psycopg"


class WrongSetting(Exception):
    """A setting that Foyer cannot start with; its text is the whole sentence the operator reads."""


def _setting(reason, *, expects, **constraints):
    """A field with the reason it exists, and the words that finish “NAME is “x”, but must be …”."""
    return Field(description=reason, json_schema_extra={"expects": expects}, **constraints)


class Settings(BaseSettings):
    """Everything an operator can decide about one Foyer installation."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        extra="forbid",
        frozen=True,
        str_strip_whitespace=True,
        validate_default=True,
        env_ignore_empty=True,
        env_file_encoding="utf-8",
    )

    HOST: Annotated[
        str,
        _setting(
            "The address to listen on. Loopback until somebody decides otherwise: "
            "no one should publish a CRM by accident.",
            expects="an address or name of this machine, such as 127.0.0.1 or 0.0.0.0",
            pattern=r"^[0-9A-Za-z:.\-]+$",
        ),
    ] = "127.0.0.1"

    PORT: Annotated[
        int,
        _setting("The port to listen on.", expects="a whole number from 1 to 65535", ge=1, le=65535),
    ] = 8080

    FOYER_HOME: Annotated[
        Path,
        _setting(
            "The instance folder: database, documents, keys and logs. What lies here is the company's: "
            "back it up. It cannot be set in the file, which lies in it.",
            expects="a folder that Foyer may write to",
        ),
    ] = BASE / "instance"

    DATABASE_URL: Annotated[
        str,
        _setting(
            "Where the business lives. Unset, it is the embedded SQLite file $FOYER_HOME/foyer.db. "
            "It may hold a password: show `database_shown`, never this.",
            expects="sqlite:///path/to/file or postgresql://user:password@host/database",
            repr=False,
            default_factory=lambda known: f"sqlite:///{known['FOYER_HOME'] / 'foyer.db'}",
        ),
    ]

    DATABASE_OWNER_URL: Annotated[
        str,
        _setting(
            "The owner of the tables, where DATABASE_URL is a role that only works with them. Then PostgreSQL itself "
            "keeps foreign rows from that role, whatever SQL it sends. `upgrade` and indexes use it; empty: one role "
            "does everything.",
            expects="postgresql://owner:password@host/database, with DATABASE_URL of PostgreSQL and another role",
            repr=False,
        ),
    ] = ""

    WORKERS: Annotated[
        int,
        _setting(
            "Web processes. One per core is enough; two let one page be slow without stopping the others.",
            expects="a whole number from 1 to 64",
            ge=1,
            le=64,
        ),
    ] = 2

    CURRENCY: Annotated[
        str,
        _setting(
            "The house currency, which new deals and invoices start with.",
            expects="the three capital letters of a currency, such as EUR",
            pattern=r"^[A-Z]{3}$",
        ),
    ] = "EUR"

    LANGUAGE: Annotated[
        str,
        _setting(
            "The language of pages and documents for those who chose none. "
            "It is set as FOYER_LANGUAGE, because desktops set LANGUAGE for themselves.",
            expects="the code of a language that Foyer speaks, such as en",
            validation_alias="FOYER_LANGUAGE",
        ),
    ] = "en"

    TIMEZONE: Annotated[
        str,
        _setting(
            "The zone in which “today” begins and moments are shown; they are stored as UTC.",
            expects="the name of a time zone, such as Europe/Vienna",
        ),
    ] = "UTC"

    TRASH_DAYS: Annotated[
        int,
        _setting(
            "Days for which deleted records can be brought back; then their values go for good. 0: for ever.",
            expects="a whole number from 0 to 3650",
            ge=0,
            le=3650,
        ),
    ] = 90

    JOB_FILES_DAYS: Annotated[
        int,
        _setting(
            "Days for which files that were brought for an import, and those that a job made, are kept after its end; "
            "an import that nobody began is put aside after as many. 0: for ever.",
            expects="a whole number from 0 to 3650",
            ge=0,
            le=3650,
        ),
    ] = 30

    ATTACHMENT_MB: Annotated[
        int,
        _setting(
            "Megabytes that one attached file may have. A proxy before Foyer must let as much through.",
            expects="a whole number from 1 to 1000",
            ge=1,
            le=1000,
        ),
    ] = 25

    ATTACHMENTS_PER_RECORD: Annotated[
        int,
        _setting(
            "How many files may hang on one record.",
            expects="a whole number from 1 to 10000",
            ge=1,
            le=10000,
        ),
    ] = 200

    EXPORT_APPROVAL_ROWS: Annotated[
        int,
        _setting(
            "An export of more rows than that asks first: the head of whoever takes them along approves it, once. "
            "0: none asks.",
            expects="a whole number from 0 to 1000000000",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 10_000

    SEALED_LINE: Annotated[
        Literal["on", "off"],
        _setting(
            "Whether somebody who searches or enters a customer of another department is told whose he is and whom to "
            "ask, by exact mail address, VAT id or full name; nothing else of him. Off: he learns nothing.",
            expects="one of on, off",
        ),
    ] = "on"

    PAYMENT_DAYS: Annotated[
        int,
        _setting(
            "Days from an invoice's date to its due date.",
            expects="a whole number from 0 to 365",
            ge=0,
            le=365,
        ),
    ] = 14

    COMPANY_NAME: Annotated[
        str,
        _setting(
            "Who writes the invoices: the name in the letterhead.",
            expects="1 to 160 characters",
            min_length=1,
            max_length=160,
        ),
    ] = "Your Company"

    COMPANY_ADDRESS: Annotated[
        str,
        _setting(
            r"The address in the letterhead; lines are separated by “|” or “\n”.",
            expects="at most 500 characters",
            max_length=500,
        ),
    ] = ""

    COMPANY_TAX_ID: Annotated[
        str,
        _setting(
            "The tax number a law may want on an invoice.", expects="at most 50 characters", max_length=50
        ),
    ] = ""

    COMPANY_BANK: Annotated[
        str,
        _setting(
            "Bank and IBAN at the foot of an invoice, as the customer should read it.",
            expects="at most 200 characters",
            max_length=200,
        ),
    ] = ""

    LOG_LEVEL: Annotated[
        Literal["debug", "info", "warning", "error"],
        _setting("How much is written to the log.", expects="one of debug, info, warning, error"),
    ] = "info"

    MAIL_HOST: Annotated[
        str,
        _setting(
            "The mail server that takes what leaves the house. Empty: no mail is written.",
            expects="a host name, or nothing",
            pattern=r"^[0-9A-Za-z:.\-]*$",
        ),
    ] = ""

    MAIL_PORT: Annotated[
        int,
        _setting("Its port.", expects="a whole number from 1 to 65535", ge=1, le=65535),
    ] = 25

    MAIL_FROM: Annotated[
        str,
        _setting(
            "Who the mails of the house come from.",
            expects="a mail address, such as foyer@example.com",
            pattern=r"^[^@\s]+@[^@\s]+$",
        ),
    ] = "foyer@localhost.localdomain"

    MAIL_USER: Annotated[
        str,
        _setting(
            "The account at the mail server; with one, STARTTLS is used.",
            expects="at most 200 characters",
            max_length=200,
        ),
    ] = ""

    MAIL_PASSWORD: Annotated[
        str, _setting("Its password.", expects="at most 200 characters", max_length=200, repr=False)
    ] = ""

    TRUSTED_HOSTS: Annotated[
        str,
        _setting(
            "The names under which this server may be addressed, separated by commas; empty allows any. "
            "Set it where HOST is not loopback: a forged Host header then gets no answer.",
            expects="host names separated by commas, such as crm.example.com",
            pattern=r"^[0-9A-Za-z:.,\- \[\]]*$",
        ),
    ] = ""

    PUBLIC_URL: Annotated[
        str,
        _setting(
            "How people reach this server, as it stands in mails. With https:// (a proxy before Foyer encrypts) "
            "cookies are sent over it alone, and browsers are told to use nothing else.",
            expects="an address without a path, such as https://crm.example.com, or nothing",
            pattern=r"^(https?://[0-9A-Za-z.\-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?)?/?$",
        ),
    ] = ""

    PROXIES: Annotated[
        int,
        _setting(
            "How many proxies of the house stand before Foyer: whose X-Forwarded-For is believed. With more than there "
            "are, a visitor could make up his address; with fewer, all of them seem to come from the proxy.",
            expects="a whole number from 0 to 5",
            ge=0,
            le=5,
        ),
    ] = 0

    SESSION_IDLE_MINUTES: Annotated[
        int,
        _setting(
            "Minutes after which a session that nobody uses ends.",
            expects="a whole number from 5 to 43200",
            ge=5,
            le=43200,
        ),
    ] = 240

    SESSION_HOURS: Annotated[
        int,
        _setting(
            "Hours after which a session ends in any case.",
            expects="a whole number from 1 to 8760",
            ge=1,
            le=8760,
        ),
    ] = 16

    PASSWORD_DAYS: Annotated[
        int,
        _setting(
            "Days after which a password must be replaced. 0: never, which is the better advice "
            "(NIST SP 800-63B, 3.1.1.2); some firms are bound to require it.",
            expects="a whole number from 0 to 3650",
            ge=0,
            le=3650,
        ),
    ] = 0

    PASSWORD_HISTORY: Annotated[
        int,
        _setting(
            "How many of a person's former passwords are not taken again.",
            expects="a whole number from 0 to 24",
            ge=0,
            le=24,
        ),
    ] = 5

    ACCOUNT_LOG_DAYS: Annotated[
        int,
        _setting(
            "Days for which sign-ins, new passwords and changes of roles are kept.",
            expects="a whole number from 30 to 3650",
            ge=30,
            le=3650,
        ),
    ] = 400

    # ---- Ways to sign in beside the password kept here (docs/sign-in.md) ----

    LOCAL_SIGN_IN: Annotated[
        bool,
        _setting(
            "Whether passwords kept here open the door while LDAP or OpenID Connect is on. Off, only accounts marked "
            "with `run.py user break-glass` still have theirs. Without LDAP and OpenID Connect it is always on.",
            expects="yes or no",
        ),
    ] = True

    LDAP_URL: Annotated[
        str,
        _setting(
            "The company's directory (OpenLDAP, Active Directory). Empty: none is asked. ldap:// goes on encrypted "
            "(StartTLS), ldaps:// is from the start.",
            expects="ldaps://host or ldap://host, with :port where it is another than usual",
            pattern=r"^(ldaps?://[0-9A-Za-z.\-\[\]:]+)?$",
        ),
    ] = ""

    LDAP_STARTTLS: Annotated[
        bool,
        _setting(
            "Whether an ldap:// connection turns to encryption before anything is said. Off is for a directory on "
            "this very machine; elsewhere passwords would go over the wire as they are, and Foyer does not start.",
            expects="yes or no; no only where LDAP_URL leads to this machine",
        ),
    ] = True

    LDAP_CA_FILE: Annotated[
        str,
        _setting(
            "The certificates (PEM) that the directory's own must descend from. Empty: those of this machine.",
            expects="the path of a file, or nothing",
            max_length=500,
        ),
    ] = ""

    LDAP_BIND_DN: Annotated[
        str,
        _setting(
            "The account that looks people up; it needs to read, nothing else. Empty: anonymously.",
            expects="at most 300 characters",
            max_length=300,
        ),
    ] = ""

    LDAP_BIND_PASSWORD: Annotated[
        str, _setting("Its password.", expects="at most 300 characters", max_length=300, repr=False)
    ] = ""

    LDAP_BASE: Annotated[
        str,
        _setting(
            "Where people are searched from: the directory's own name or a branch of it.",
            expects="a distinguished name, such as dc=example,dc=com",
            max_length=300,
        ),
    ] = ""

    LDAP_USER_FILTER: Annotated[
        str,
        _setting(
            "Who may come in: {name} stands for the name that was typed. Whoever does not match any more is shut out. "
            "Active Directory: (&(sAMAccountName={name})(!(userAccountControl:1.2.840.113556.1.4.803:=2))).",
            expects="an LDAP filter in brackets with {name} in it",
            pattern=r"^\(.*\{name\}.*\)$",
        ),
    ] = "(&(objectClass=inetOrgPerson)(uid={name}))"

    LDAP_NAME_ATTRIBUTE: Annotated[
        str,
        _setting(
            "What becomes the user name here. Active Directory: sAMAccountName.",
            expects="the name of an attribute",
            pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        ),
    ] = "uid"

    LDAP_ID_ATTRIBUTE: Annotated[
        str,
        _setting(
            "What never changes of a person, not even with a new name. Active Directory: objectGUID.",
            expects="the name of an attribute",
            pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        ),
    ] = "entryUUID"

    LDAP_GROUP_FILTER: Annotated[
        str,
        _setting(
            "How a person's groups are found: {dn} stands for the person. Empty: by the attribute memberOf. "
            "Active Directory with groups in groups: (member:1.2.840.113556.1.4.1941:={dn}).",
            expects="an LDAP filter in brackets with {dn} in it, or nothing",
            pattern=r"^(\(.*\{dn\}.*\))?$",
        ),
    ] = "(&(objectClass=groupOfNames)(member={dn}))"

    LDAP_TIMEOUT: Annotated[
        int,
        _setting(
            "Seconds to wait for the directory; somebody stands at the door meanwhile.",
            expects="a whole number from 1 to 60",
            ge=1,
            le=60,
        ),
    ] = 5

    LDAP_ADOPTS_ACCOUNTS: Annotated[
        bool,
        _setting(
            "Whether an account that was here before becomes the directory's, when somebody of the same user name "
            "signs in from there. Its password here ends with that. Off, the two stay apart and the first one wins.",
            expects="yes or no",
        ),
    ] = False

    OIDC_ISSUER: Annotated[
        str,
        _setting(
            "The OpenID Connect provider, as it calls itself. Empty: none. Its host is the only one that Foyer asks "
            "anything of.",
            expects="https://host/path as the provider names it (http:// on this machine only)",
            pattern=r"^(https?://[0-9A-Za-z.\-\[\]:/_~%]+)?$",
        ),
    ] = ""

    OIDC_LABEL: Annotated[
        str,
        _setting(
            "What the button at the door says after “Sign in with”.",
            expects="1 to 40 characters",
            min_length=1,
            max_length=40,
        ),
    ] = "OpenID Connect"

    OIDC_CLIENT_ID: Annotated[
        str,
        _setting(
            "Under which name the provider knows Foyer.", expects="at most 200 characters", max_length=200
        ),
    ] = ""

    OIDC_CLIENT_SECRET: Annotated[
        str,
        _setting(
            "The secret that goes with it.", expects="at most 300 characters", max_length=300, repr=False
        ),
    ] = ""

    OIDC_SCOPES: Annotated[
        str,
        _setting(
            "What is asked of the provider; `openid` must be among it.",
            expects="words separated by blanks, openid among them",
            pattern=r"^(.* )?openid( .*)?$",
        ),
    ] = "openid profile email"

    OIDC_GROUPS_CLAIM: Annotated[
        str,
        _setting(
            "The claim in which the provider names a person's groups.",
            expects="the name of a claim",
            pattern=r"^\S{1,100}$",
        ),
    ] = "groups"

    OIDC_MATCHES_MAIL: Annotated[
        bool,
        _setting(
            "Whether an account that was here before is recognised by its mail address, if the provider says that it "
            "has verified it. On only where nobody can give himself another's address there.",
            expects="yes or no",
        ),
    ] = False

    OIDC_TIMEOUT: Annotated[
        int,
        _setting("Seconds to wait for the provider.", expects="a whole number from 1 to 60", ge=1, le=60),
    ] = 5

    API_KEY_REQUESTS: Annotated[
        int,
        _setting(
            "Requests a minute that an API key is good for at most; whoever makes one may take less.",
            expects="a whole number from 1 to 100000",
            ge=1,
            le=100_000,
        ),
    ] = 600

    API_KEY_DAYS: Annotated[
        int,
        _setting(
            "Days for which an API key may be made at most.", expects="a whole number from 1 to 3650", ge=1, le=3650
        ),
    ] = 365

    # ---- What the values must obey beyond their type ----

    @field_validator("FOYER_HOME")
    @classmethod
    def _an_absolute_folder(cls, home):
        return home.expanduser().absolute()

    @field_validator("DATABASE_URL")
    @classmethod
    def _a_database_we_know(cls, text):
        try:
            url = make_url(text)
        except ArgumentError:
            raise ValueError("not the address of a database")
        if url.drivername in ("postgresql", POSTGRESQL):
            if not url.database:
                raise ValueError("no database named")
            return url.set(drivername=POSTGRESQL).render_as_string(hide_password=False)
        if url.drivername == "sqlite" and url.database and url.database != ":memory:":
            return f"sqlite:///{Path(url.database).expanduser().absolute()}"
        raise ValueError("not a database that Foyer knows")

    @field_validator("DATABASE_OWNER_URL")
    @classmethod
    def _an_owner_beside_the_role(cls, text, known):
        if not text or "DATABASE_URL" not in known.data:
            return text
        try:
            url, role = make_url(text), make_url(known.data["DATABASE_URL"])
        except ArgumentError:
            raise ValueError("not the address of a database")
        if url.drivername not in ("postgresql", POSTGRESQL) or role.drivername != POSTGRESQL:
            raise ValueError("policies are PostgreSQL's")
        if not (url.username and role.username) or url.username == role.username:
            raise ValueError("not another role")
        return url.set(drivername=POSTGRESQL).render_as_string(hide_password=False)

    @field_validator("CURRENCY")
    @classmethod
    def _a_currency_that_exists(cls, code):
        if code not in get_global("all_currencies"):
            raise ValueError(code)
        return code

    @field_validator("LANGUAGE")
    @classmethod
    def _a_language_we_speak(cls, language):
        if language not in languages():
            raise ValueError(language)
        return language

    @field_validator("TIMEZONE")
    @classmethod
    def _a_zone_that_exists(cls, zone):
        if zone not in available_timezones():
            raise ValueError(zone)
        return zone

    @field_validator("LOG_LEVEL", mode="before")
    @classmethod
    def _lower_case(cls, level):
        return level.lower() if isinstance(level, str) else level

    @field_validator("COMPANY_ADDRESS")
    @classmethod
    def _one_line_each(cls, address):
        lines = (line.strip() for line in re.split(r"\||\\n|\r?\n", address))
        return "\n".join(line for line in lines if line)

    @field_validator("LDAP_STARTTLS")
    @classmethod
    def _no_password_in_the_clear(cls, is_on, known):
        url = known.data.get("LDAP_URL", "")
        if url.startswith("ldap://") and not is_on and not _is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("passwords would go over the wire as they are")
        return is_on

    @field_validator("OIDC_ISSUER")
    @classmethod
    def _a_safe_address(cls, url):
        if url.startswith("http://") and not _is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("keys and codes go to https only")
        return url

    # ---- The values, in the shape the house uses them ----

    @property
    def is_sqlite(self):
        """Whether the business lives in the embedded database."""
        return self.DATABASE_URL.startswith("sqlite")

    @property
    def database_shown(self):
        """DATABASE_URL as it may be printed: without its password."""
        return _without_password(self.DATABASE_URL)

    @property
    def app_role(self):
        """The role of the database that the application runs under, where it is not the owner of the tables."""
        return make_url(self.DATABASE_URL).username if self.DATABASE_OWNER_URL else None

    @property
    def is_loopback(self):
        """Whether only this machine can reach the server."""
        return _is_loopback(self.HOST)

    @property
    def has_outer_door(self):
        """Whether people come in from a directory or a provider, too."""
        return bool(self.LDAP_URL or self.OIDC_ISSUER)

    @property
    def zone(self):
        """TIMEZONE as a zone to convert moments with."""
        return ZoneInfo(self.TIMEZONE)

    @property
    def company_address_lines(self):
        """COMPANY_ADDRESS as the list of its lines."""
        return self.COMPANY_ADDRESS.splitlines()

    @property
    def trusted_hosts(self):
        """TRUSTED_HOSTS as a list; without it the name in PUBLIC_URL and this machine's own; None: any name."""
        named = [host.strip() for host in self.TRUSTED_HOSTS.split(",") if host.strip()]
        if not named and self.PUBLIC_URL:
            named = [urlsplit(self.PUBLIC_URL).hostname, "localhost", "127.0.0.1"]
        return named or None

    @property
    def is_https(self):
        """Whether people reach the server over HTTPS."""
        return self.PUBLIC_URL.startswith("https://")

    @property
    def address(self):
        """Where people reach the server, for links in mails; never taken from what a browser says."""
        host = f"[{self.HOST}]" if ":" in self.HOST else self.HOST
        return self.PUBLIC_URL.rstrip("/") or f"http://{host}:{self.PORT}"

    @property
    def is_public(self):
        """Whether others than this machine reach the server: what is weak is then refused at start."""
        return not self.is_loopback or bool(self.PUBLIC_URL)

    def cookie(self, name):
        """A cookie's name; over HTTPS browsers see to it that no other host of the domain has set it."""
        return f"__Host-{name}" if self.is_https else name

    @property
    def documents(self):
        """The folder for files that belong to documents."""
        return self._folder("documents")

    @property
    def keys(self):
        """The folder for secrets."""
        return self._folder("keys")

    @property
    def logs(self):
        """The folder for logs."""
        return self._folder("logs")

    def _folder(self, name):
        folder = self.FOYER_HOME / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def secret_key(self):
        """The key that signs sessions: made once per installation, 0600, refused when others can read it."""
        return self._key("secret_key", "everyone then signs in again")

    def vault_key(self):
        """The key that seals the secrets of second factors, so that a copy of the database does not give them away."""
        return self._key("vault_key", "everyone then sets up his second factor again")

    def _key(self, name, consequence):
        path = self.keys / name
        if not path.exists():
            _make_key(path)
        if path.stat().st_mode & 0o077:
            raise WrongSetting(f"The key {path} can be read by others on this machine; run: chmod 600 {path}")
        key = path.read_bytes().strip()
        if len(key) < KEY_LENGTH:
            raise WrongSetting(
                f"The key {path} is shorter than {KEY_LENGTH} bytes; delete it, and Foyer makes a new one "
                f"({consequence})."
            )
        if self.is_public and _is_guessable(key):
            raise WrongSetting(
                f"The key {path} is one that can be guessed; delete it, and Foyer makes a new one "
                "(everyone then signs in again)."
            )
        return key

    def flask_config(self):
        """What create_app tells Flask, Flask-AppBuilder and the extensions."""
        key = self.secret_key()
        return {
            "SETTINGS": self,
            "SECRET_KEY": key,
            "SQLALCHEMY_DATABASE_URI": self.DATABASE_URL,
            "SQLALCHEMY_ENGINE_OPTIONS": self._engine_options(),
            "TRUSTED_HOSTS": self.trusted_hosts,
            # Uploads end here; a form field that is no file, far earlier.
            "MAX_CONTENT_LENGTH": 16 * 1024 * 1024,
            "MAX_FORM_MEMORY_SIZE": 2 * 1024 * 1024,
            "MAX_FORM_PARTS": 2000,
            # Flask's own session: the CSRF token and messages to show, signed. Who is signed in stands elsewhere.
            "SESSION_COOKIE_NAME": self.cookie("foyer"),
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            "SESSION_COOKIE_SECURE": self.is_https,
            "SESSION_COOKIE_PATH": "/",
            "SESSION_PROTECTION": None,
            "PREFERRED_URL_SCHEME": "https" if self.is_https else "http",
            # A form left open over lunch is still sent: the token lives as long as the session.
            "WTF_CSRF_TIME_LIMIT": None,
            "BABEL_DEFAULT_LOCALE": self.LANGUAGE,
            "BABEL_DEFAULT_TIMEZONE": self.TIMEZONE,
            "LANGUAGES": {code: {"flag": code, "name": name} for code, name in languages().items()},
            **FLASK_APPBUILDER,
        }

    def _engine_options(self):
        # A request may hold two connections: its own, and a short one that loads who asks.
        # The one used last comes first: what it has prepared and read is still at hand.
        options = {"pool_size": THREADS, "max_overflow": THREADS, "pool_use_lifo": True}
        if not self.is_sqlite:
            # Pages ask many small questions: to compile them, or to call helpers in, takes longer than the answers.
            options["connect_args"] = {"options": "-c jit=off -c max_parallel_workers_per_gather=0"}
        return options


# Threads per web process that run Python: SQLite has one writer and CPython one interpreter lock, so a few
# suffice; more only wait in line, holding a database connection each.
THREADS = 8

# Flask-AppBuilder with every stock page, API and start-up write off; `upgrade` makes tables and permissions.
FLASK_APPBUILDER = {
    "APP_NAME": "Foyer",
    "AUTH_TYPE": 1,  # accounts in our own database
    "AUTH_USER_REGISTRATION": False,
    "FAB_CREATE_DB": False,
    "FAB_UPDATE_PERMS": False,
    "FAB_ADD_SECURITY_VIEWS": False,
    "FAB_ADD_SECURITY_VIEW_MENU_VIEW": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEW": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEWS_VIEW": False,
    "FAB_ADD_SECURITY_API": False,
    "FAB_ADD_OPENAPI_VIEWS": False,
    "FAB_ADD_MENU_API": False,
    "FAB_API_SWAGGER_UI": False,
    "FAB_API_SHOW_STACKTRACE": False,
    "FAB_API_KEY_ENABLED": False,
    "FAB_API_MAX_PAGE_SIZE": 100,
    "FAB_ALLOW_GET_UNSAFE_MUTATIONS": False,
    "FAB_SAFE_REDIRECT_HOSTS": [],
    # A bearer token comes in the header and nowhere else, so that no foreign page can make a browser send it.
    "JWT_TOKEN_LOCATION": ["headers"],
    "JWT_ACCESS_TOKEN_EXPIRES": 3600,
}


def _is_guessable(key):
    """Whether a key looks chosen instead of made: few different characters, or words that stand in manuals."""
    text = key.decode("latin-1").lower()
    words = (
        "secret",
        "changeme",
        "change-me",
        "change_me",
        "default",
        "password",
        "foyer",
        "example",
        "0123456789",
    )
    return len(set(key)) < KEY_LENGTH // 3 or any(word in text for word in words)


def _is_loopback(host):
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def languages():
    """The languages Foyer speaks, code to name: English, and each that has a catalogue."""
    codes = {"en"} | {path.parent.parent.name for path in BASE.glob("app/translations/*/LC_MESSAGES/*.po")}
    return {code: Locale.parse(code).get_display_name(code) for code in sorted(codes)}


def load_settings(**overrides):
    """Read the settings, see that the instance folder can be used; raises WrongSetting with one sentence."""
    home = overrides.get("FOYER_HOME") or os.environ.get("FOYER_HOME") or BASE / "instance"
    home = Path(home).expanduser().absolute()
    _check_folder(home)
    file = home / SETTINGS_FILE
    _check_file(file)
    try:
        return Settings(_env_file=file, **overrides | {"FOYER_HOME": home})
    except ValidationError as error:
        raise WrongSetting(_sentence(error.errors()[0], file)) from None


def _check_folder(home):
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting(
            f"FOYER_HOME is “{home}”, but must be a folder that Foyer may write to ({error.strerror})."
        ) from None
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise WrongSetting(f"FOYER_HOME is “{home}”, but must be a folder that Foyer may write to.")


def _check_file(file):
    """Refuse what the reader of the file would pass over in silence: a line that is no NAME=value."""
    if not file.exists():
        return
    try:
        lines = list(parse_stream(io.StringIO(file.read_text("utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{file} cannot be read: {error}.") from None
    for line in lines:
        if line.error or (line.key and line.value is None):
            text = _without_password(line.original.string.strip())
            raise WrongSetting(f"Line {line.original.line} of {file} is “{text}”, but must be NAME=value.")
        if line.key == "FOYER_HOME":
            raise WrongSetting(
                f"FOYER_HOME cannot be set in {file}, which it leads to; set it in the environment."
            )


def _sentence(error, file):
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        known = [field.validation_alias or name for name, field in Settings.model_fields.items()]
        close = get_close_matches(name.upper(), known, n=1)
        return f"{name} in {file} is no setting of Foyer" + (f"; did you mean {close[0]}?" if close else ".")
    field = next(
        field for key, field in Settings.model_fields.items() if name in (key, field.validation_alias)
    )
    value = _without_password(str(error["input"]))
    return f"{name} is “{value}”, but must be {field.json_schema_extra['expects']}."


def _without_password(text):
    return re.sub(r"://([^:@/]*):.*@", r"://\1:***@", text)


def _make_key(path):
    """Write a key beside its place and link it there: readers find all of it or none; the first wins."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(KEY_LENGTH))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first; its key is the key
    finally:
        draft.unlink()
