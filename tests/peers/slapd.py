"""A real OpenLDAP server in a folder of its own, with the people of a small firm; no system service is touched."""

import shutil
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import ldap
import ldap.modlist
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.peers import free_port, stop, wait_for

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/lib/openldap:/usr/libexec:/usr/local/sbin")
SCHEMAS = ("/etc/ldap/schema", "/etc/openldap/schema")
BASE = "dc=example,dc=com"
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "only for these tests"
READER, READER_PASSWORD = f"cn=foyer,ou=services,{BASE}", "it looks people up"
PASSWORD = "a long enough one"

CONFIG = """
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
database mdb
maxsize 10485760
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {folder}/data
dbnosync
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""


class Directory:
    """The running server, and what IT does in it."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder
        self.url = f"ldap://127.0.0.1:{port}"
        self.connection = ldap.initialize(self.url)
        self.connection.simple_bind_s(ROOT, ROOT_PASSWORD)

    def settings(self, **more):
        """How Foyer is told of it."""
        return {
            "LDAP_URL": self.url,
            "LDAP_STARTTLS": False,
            "LDAP_BASE": BASE,
            "LDAP_BIND_DN": READER,
            "LDAP_BIND_PASSWORD": READER_PASSWORD,
            "LDAP_TIMEOUT": 5,
            **more,
        }

    def add(self, dn, **values):
        lists = {
            name: [text.encode() for text in ([value] if isinstance(value, str) else value)]
            for name, value in values.items()
        }
        self.connection.add_s(dn, ldap.modlist.addModlist(lists))
        return dn

    def person(self, uid, first, last, password=PASSWORD, mail=None):
        return self.add(
            f"uid={uid},ou=people,{BASE}",
            objectClass="inetOrgPerson",
            uid=uid,
            cn=f"{first} {last}",
            givenName=first,
            sn=last,
            mail=mail or f"{uid}@example.com",
            userPassword=password,
        )

    def group(self, name, *members):
        dn = f"cn={name},ou=groups,{BASE}"
        return self.add(
            dn, objectClass="groupOfNames", cn=name, member=[ROOT, *members]
        )  # a group is never empty

    def join(self, group, dn):
        self.connection.modify_s(f"cn={group},ou=groups,{BASE}", [(ldap.MOD_ADD, "member", [dn.encode()])])

    def leave(self, group, dn):
        self.connection.modify_s(f"cn={group},ou=groups,{BASE}", [(ldap.MOD_DELETE, "member", [dn.encode()])])

    def rename(self, dn, uid):
        self.connection.rename_s(dn, f"uid={uid}")
        return f"uid={uid},ou=people,{BASE}"

    def remove(self, dn):
        self.connection.delete_s(dn)

    def clear(self):
        """Empty it, and begin again with its branches and the account that looks people up."""
        for dn in sorted(self._all(), key=lambda dn: -dn.count(",")):
            self.connection.delete_s(dn)
        self.add(BASE, objectClass=["dcObject", "organization"], dc="example", o="Example")
        for branch in ("people", "groups", "services"):
            self.add(f"ou={branch},{BASE}", objectClass="organizationalUnit", ou=branch)
        self.add(
            READER,
            objectClass=["organizationalRole", "simpleSecurityObject"],
            cn="foyer",
            userPassword=READER_PASSWORD,
        )

    def _all(self):
        try:
            return [
                dn for dn, _ in self.connection.search_s(BASE, ldap.SCOPE_SUBTREE, "(objectClass=*)", ["1.1"])
            ]
        except ldap.NO_SUCH_OBJECT:
            return []


@contextmanager
def running(folder):
    """The server, until the end of the block."""
    assert SLAPD, "slapd is not installed: bin/bootstrap test installs it"
    schemas = next(path for path in SCHEMAS if shutil.os.path.isdir(path))
    (folder / "data").mkdir()
    write_certificates(folder)
    config, log = folder / "slapd.conf", folder / "log"
    config.write_text(
        CONFIG.format(
            schemas=schemas, folder=folder, base=BASE, root=ROOT, password=ROOT_PASSWORD, reader=READER
        )
    )
    port = free_port()
    with log.open("w") as output:
        server = subprocess.Popen(
            [SLAPD, "-h", f"ldap://127.0.0.1:{port}/", "-f", config, "-d", "0"], stdout=output, stderr=output
        )
    try:
        wait_for(port, server, log)
        yield Directory(port, folder)
    finally:
        stop(server)


def write_certificates(folder):
    """A certificate for 127.0.0.1 under an authority that nobody else trusts."""
    now = datetime.now(UTC)

    def certificate(name, key, issuer_name, issuer_key, *, is_authority):
        subject, issuer = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer_name)
        )
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    authority = certificate(
        "Test authority", authority_key, "Test authority", authority_key, is_authority=True
    )
    server = certificate("127.0.0.1", server_key, "Test authority", authority_key, is_authority=False)
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
