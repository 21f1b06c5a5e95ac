"""The company's directory (LDAP): try the connection, see what somebody would get, follow its groups and leavers."""

from app import access, create_app
from app.commands import CommandError
from app.identity import directory, door, mapping
from app.models import Department


def add_arguments(parser):
    deeds = parser.add_subparsers(metavar="DEED", required=True, dest="deed")
    deeds.add_parser("check", help="whether the directory answers, and how many people may come in")
    deeds.add_parser("show", help="who this is, and what the mapping gives him").add_argument("username")
    sync = deeds.add_parser("sync", help="follow groups, names and leavers without waiting for a sign-in")
    sync.add_argument(
        "--even-if-many",
        action="store_true",
        help="also where more than half of the accounts would be closed",
    )


def run(args, settings):
    if not settings.LDAP_URL:
        raise CommandError("LDAP_URL is not set: no directory is asked. docs/sign-in.md says how.")
    app = create_app(settings)
    with app.app_context():
        try:
            DEEDS[args.deed](settings, args)
        except directory.DirectoryDown as error:
            raise CommandError(f"The directory at {settings.LDAP_URL} does not do: {error}.")
        except door.TooMany as error:
            raise CommandError(f"{error}. Nothing was done; if that is meant, say --even-if-many.")


def check(settings, args):
    """One line: it answers, and so many may come in."""
    people = list(directory.everyone(settings))
    print(f"{settings.LDAP_URL} answers; {len(people)} people may come in.")


def show(settings, args):
    """Somebody as the directory tells of him, and what that gives him here."""
    entry = directory.find(settings, args.username)
    if entry is None:
        raise CommandError(f"The directory lets nobody in as “{args.username}”.")
    with access.system_session("directory show", writes=False) as session:
        given = mapping.given_to(session, entry.person)
        department = session.get(Department, given.department_id) if given.department_id else None
        department = department.name if department is not None else "no department"
    print(f"{entry.dn}: {entry.person.username} <{entry.person.email}>")
    for group in entry.person.groups:
        print(f"  in {group}")
    print(f"  gets {', '.join(sorted(given.roles)) or 'no role'} in {department}")


def sync(settings, args):
    """Bring the accounts of the directory up to date."""
    done = door.sync(settings, even_if_many=args.even_if_many)
    print(f"{done.open} accounts of the directory are open, {done.closed} closed.")


DEEDS = {"check": check, "show": show, "sync": sync}
