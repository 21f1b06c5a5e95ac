"""The company's directory over LDAP: who somebody is, whether the password is his, in which groups he is.

python-ldap is needed only where LDAP_URL is set (`requirements-ldap.txt`). What somebody typed never becomes part of a
filter unescaped, an empty password is never tried (a directory takes it for an anonymous bind and says yes), referrals
to other servers are not followed, and every answer is waited for only so long.
"""

import logging
from contextlib import contextmanager
from uuid import UUID

from app.identity.mapping import Person

log = logging.getLogger(__name__)

SOURCE = "ldap"
PAGE = 500  # people asked for at once; Active Directory gives at most 1000
MAIL, FIRST_NAME, LAST_NAME, MEMBER_OF = "mail", "givenName", "sn", "memberOf"
LONGEST_NAME = 128


class DirectoryDown(Exception):
    """The directory does not answer, or not as it should; its text is for the log and for commands."""


class Entry:
    """A person as found: `person` without his groups, and where he stands in the directory."""

    def __init__(self, dn, person):
        self.dn, self.person = dn, person


def find(settings, username):
    """The one person whom this name fits, with his groups, or None. Two are as bad as none."""
    from ldap.filter import escape_filter_chars

    if not username or len(username) > LONGEST_NAME:
        return None
    query = settings.LDAP_USER_FILTER.replace("{name}", escape_filter_chars(username, 1))
    with _bound(settings) as connection:
        found = _search(settings, connection, settings.LDAP_BASE, query, _attributes(settings))
        entries = [entry for entry in (_entry(settings, *one) for one in found) if entry is not None]
        if len(entries) > 1:
            log.warning("%d people in the directory are called “%s”: nobody comes in", len(entries), username)
        return _with_groups(settings, connection, entries[0], found) if len(entries) == 1 else None


def is_let_in(settings, subject):
    """Whether somebody whom the directory brought before is still among those who may come in, under any name."""
    from ldap.filter import escape_filter_chars

    try:
        wanted = (
            escape_filter_chars(UUID(subject).bytes_le.decode("latin-1"), 2) if _is_guid(settings) else None
        )
    except ValueError:
        return False
    wanted = wanted or escape_filter_chars(subject, 1)
    everybody = settings.LDAP_USER_FILTER.replace("{name}", "*")
    with _bound(settings) as connection:
        query = f"(&{everybody}({settings.LDAP_ID_ATTRIBUTE}={wanted}))"
        return bool(_search(settings, connection, settings.LDAP_BASE, query, ["1.1"]))


def is_password_of(settings, entry, password):
    """Whether the directory takes this password for this person."""
    import ldap

    if not password or "\x00" in password:
        return False
    connection = _connect(settings)
    try:
        connection.simple_bind_s(entry.dn, password)
        return True
    except (ldap.INVALID_CREDENTIALS, ldap.UNWILLING_TO_PERFORM, ldap.INAPPROPRIATE_AUTH):
        return False  # wrong, or the directory has locked or disabled him
    except ldap.LDAPError as error:
        raise DirectoryDown(_words(error))
    finally:
        connection.unbind_ext_s()


def everyone(settings):
    """All people who may come in, each with his groups."""
    query = settings.LDAP_USER_FILTER.replace("{name}", "*")
    with _bound(settings) as connection:
        found = _search(settings, connection, settings.LDAP_BASE, query, _attributes(settings))
        for one in found:
            entry = _entry(settings, *one)
            if entry is not None:
                yield _with_groups(settings, connection, entry, [one])


def issuer_of(settings):
    """Whose people they are: the same directory under another address is the same one."""
    return settings.LDAP_BASE.casefold()


# --------------------------------------------------------------------------------------------- what it says


def _attributes(settings):
    names = (settings.LDAP_NAME_ATTRIBUTE, settings.LDAP_ID_ATTRIBUTE, MAIL, FIRST_NAME, LAST_NAME)
    return [*names, *([] if settings.LDAP_GROUP_FILTER else [MEMBER_OF])]


def _entry(settings, dn, values):
    """An entry that has all that is needed, or None."""
    subject = _first(values, settings.LDAP_ID_ATTRIBUTE, is_guid=_is_guid(settings))
    username = _first(values, settings.LDAP_NAME_ATTRIBUTE)
    if not subject or not username or len(username) > LONGEST_NAME:
        log.warning("%s has no %s or %s", dn, settings.LDAP_ID_ATTRIBUTE, settings.LDAP_NAME_ATTRIBUTE)
        return None
    person = Person(
        source=SOURCE,
        issuer=issuer_of(settings),
        subject=subject,
        username=username.casefold(),
        email=_first(values, MAIL),
        first_name=_first(values, FIRST_NAME),
        last_name=_first(values, LAST_NAME),
        groups=(),
    )
    return Entry(dn, person)


def _with_groups(settings, connection, entry, found):
    from ldap.filter import escape_filter_chars

    if settings.LDAP_GROUP_FILTER:
        query = settings.LDAP_GROUP_FILTER.replace("{dn}", escape_filter_chars(entry.dn, 1))
        groups = [dn for dn, _ in _search(settings, connection, settings.LDAP_BASE, query, ["1.1"])]
    else:
        groups = [_text(value) for value in _values(dict(found)[entry.dn], MEMBER_OF)]
    return Entry(entry.dn, entry.person._replace(groups=tuple(sorted(groups))))


def _is_guid(settings):
    """Active Directory's id is sixteen bytes, not text."""
    return settings.LDAP_ID_ATTRIBUTE.casefold() == "objectguid"


def _values(values, name):
    """An attribute's values; a directory may write its name in another case."""
    return next((found for key, found in values.items() if key.casefold() == name.casefold()), [])


def _first(values, name, *, is_guid=False):
    found = _values(values, name)
    if not found:
        return ""
    if is_guid and len(found[0]) == 16:
        return str(UUID(bytes_le=found[0]))
    return _text(found[0])


def _text(value):
    return value.decode("utf-8", "replace").replace("\x00", "").strip()


# --------------------------------------------------------------------------------------------- how it is asked


def _search(settings, connection, base, query, attributes):
    """Every (dn, attributes) that fits, page by page; a referral to another server is passed over."""
    import ldap
    from ldap.controls import SimplePagedResultsControl

    control = SimplePagedResultsControl(False, size=PAGE, cookie=b"")
    found = []
    try:
        while True:
            number = connection.search_ext(
                base,
                ldap.SCOPE_SUBTREE,
                query,
                attributes,
                serverctrls=[control],
                timeout=settings.LDAP_TIMEOUT,
            )
            _, rows, _, controls = connection.result3(number, timeout=settings.LDAP_TIMEOUT)
            found += [(dn, values) for dn, values in rows if dn is not None]
            cookies = [one.cookie for one in controls if one.controlType == control.controlType]
            if not cookies or not cookies[0]:
                return found
            control.cookie = cookies[0]
    except ldap.NO_SUCH_OBJECT:
        raise DirectoryDown(f"there is no {base} in the directory")
    except ldap.LDAPError as error:
        raise DirectoryDown(_words(error))


@contextmanager
def _bound(settings):
    """A connection that may look people up."""
    import ldap

    connection = _connect(settings)
    try:
        if settings.LDAP_BIND_DN:
            connection.simple_bind_s(settings.LDAP_BIND_DN, settings.LDAP_BIND_PASSWORD)
        yield connection
    except ldap.LDAPError as error:
        raise DirectoryDown(_words(error))
    finally:
        connection.unbind_ext_s()


def _connect(settings):
    try:
        import ldap
    except ImportError:
        raise DirectoryDown("python-ldap is not installed: see requirements-ldap.txt")
    connection = ldap.initialize(settings.LDAP_URL)
    connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    connection.set_option(ldap.OPT_REFERRALS, 0)
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, settings.LDAP_TIMEOUT)
    connection.set_option(ldap.OPT_TIMEOUT, settings.LDAP_TIMEOUT)
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    if settings.LDAP_CA_FILE:
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, settings.LDAP_CA_FILE)
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # last: it makes the options above count
    if settings.LDAP_URL.startswith("ldap://") and settings.LDAP_STARTTLS:
        try:
            connection.start_tls_s()
        except ldap.LDAPError as error:
            raise DirectoryDown(_words(error))
    return connection


def _words(error):
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return ": ".join(filter(None, (told.get("desc"), told.get("info")))) or type(error).__name__
