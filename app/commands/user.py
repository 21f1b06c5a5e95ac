"""List, add, shut out and let in the people who sign in, and give them new passwords."""

import getpass
import re
import secrets
import sys
from datetime import datetime

from flask import current_app
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, ProgrammingError

from app import access, create_app, in_hand, security
from app.commands import CommandError
from app.models import Department, Membership, Staff
from app.roles import ROLES
from app.rules import RuleBroken, handing_over, passwords

USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


def add_arguments(parser):
    deeds = parser.add_subparsers(metavar="DEED", required=True, dest="deed")

    deeds.add_parser("list", help="everyone who has an account, with department and roles")

    add = deeds.add_parser("add", help="a new account; its password is made and shown once")
    add.add_argument("username")
    add.add_argument("--first-name", required=True)
    add.add_argument("--last-name", required=True)
    add.add_argument("--email", required=True)
    add.add_argument("--department", required=True, help="the department's name")
    add.add_argument(
        "--role",
        required=True,
        action="append",
        choices=sorted(ROLES),
        metavar="ROLE",
        help=f"one of: {', '.join(sorted(ROLES))}; more than one by saying it again",
    )

    password = deeds.add_parser("password", help="a new password, asked for, or read from a pipe")
    password.add_argument("username")
    password.add_argument(
        "--make", action="store_true", help="make one and show it once, to be replaced at the next sign-in"
    )

    glass = deeds.add_parser(
        "break-glass",
        help="mark an account whose password counts even where local sign-in is off or the directory is down",
    )
    glass.add_argument("username")
    glass.add_argument("--off", action="store_true", help="take the mark away")

    deeds.add_parser("activate", help="let someone sign in again").add_argument("username")

    deactivate = deeds.add_parser("deactivate", help="shut someone out; his open work is handed over")
    deactivate.add_argument("username")
    deactivate.add_argument(
        "--hand-over",
        metavar="TO",
        help="to whom: a user name, “turns” (colleagues of each record's department) or “head” (its head)",
    )
    deactivate.add_argument("--at-once", action="store_true", help="close the door now; the work waits")


def run(args, settings):
    app = create_app(settings)
    today = datetime.now(settings.zone).date()
    try:
        with app.app_context(), access.system_session(f"user {args.deed}", door="command") as session:
            DEEDS[args.deed](session, args, today=today)
    except (OperationalError, ProgrammingError) as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise CommandError(f"The accounts cannot be read ({reason}); has `run.py upgrade` been run?")


def list_accounts(session, args, *, today):
    """One line for each account; `-` before who cannot sign in."""
    users = session.scalars(select(User).order_by(User.username)).all()
    names = dict(session.execute(select(Department.id, Department.name)).all())
    home = dict(session.execute(select(Staff.id, Staff.department_id)).all())
    departments = {user_id: names[department_id] for user_id, department_id in home.items()}
    held = {}
    of_all = select(Membership.owner_id, Membership.role, Membership.department_id).order_by(Membership.role)
    for user_id, role, department_id in session.execute(of_all):
        is_own = department_id == home.get(user_id)
        held.setdefault(user_id, []).append(role if is_own else f"{role} ({names.get(department_id)})")
    for user in users:
        mark = " " if user.active and user.password else "-"
        roles = ", ".join(held.get(user.id, ())) or "no role"
        department = departments.get(user.id, "no department")
        print(f"{mark} {user.username:<20} {user.first_name} {user.last_name}, {department}: {roles}")


def add(session, args, *, today):
    """A new account with a password made for it."""
    if not USERNAME.fullmatch(args.username):
        raise CommandError(
            f"“{args.username}” is no user name: lower-case letters, digits and . _ @ + - only, at most 64."
        )
    for column, value in ((User.username, args.username), (User.email, args.email)):
        if session.scalars(select(User.id).where(column == value)).first() is not None:
            raise CommandError(f"There is an account with “{value}” already.")
    department = session.scalars(select(Department).where(Department.name == args.department)).first()
    if department is None:
        names = session.scalars(select(Department.name).order_by(Department.name))
        raise CommandError(f"There is no department “{args.department}”; there are: {', '.join(names)}.")
    password = _made()
    security.create_account(
        session,
        username=args.username,
        first_name=args.first_name,
        last_name=args.last_name,
        email=args.email,
        department_id=department.id,
        roles=args.role,
        password=password,
        must_change=True,
    )
    print(f"{args.username} can sign in with the password {password} (shown once), and then sets another.")


def set_password(session, args, *, today):
    """A new password for an account."""
    user = _account(session, args.username)
    password = _made() if args.make else _asked()
    settings = current_app.config["SETTINGS"]
    company, keep = settings.COMPANY_NAME, settings.PASSWORD_HISTORY
    try:
        passwords.replace(session, user, password, company=company, keep=keep, must_change=args.make)
    except RuleBroken as broken:
        raise CommandError(f"{broken} Nothing was changed.")
    shown = f": {password} (shown once)" if args.make else ""
    print(f"{args.username} has a new password{shown}.")


def activate(session, args, *, today):
    """Let an account sign in again."""
    security.set_active(session, _account(session, args.username).id, True, today=today)
    print(f"{args.username} can sign in.")


def deactivate(session, args, *, today):
    """Shut an account out; what its owner has in hand goes to others first, by the rule that is given."""
    user = _account(session, args.username)
    try:
        if args.hand_over:
            choice = _choice(session, args.hand_over)
            chosen = dict.fromkeys(("*", *in_hand.CUSTOMERS), choice)
            plan = handing_over.plan(session, user.id, chosen, today=today)
            handing_over.hand_over(session, plan, today=today)
            for name, counted in plan.counts():
                print(f"  {name}: {', '.join(f'{count} {entity}' for entity, count in counted.items())}")
        else:
            security.set_active(session, user.id, False, today=today, at_once=args.at_once)
    except in_hand.StillInHand as error:
        raise CommandError(
            f"{args.username} still has in hand: {error}. Say who takes it over: --hand-over TO; or --at-once."
        )
    except RuleBroken as error:
        raise CommandError(str(error))
    print(f"{args.username} can no longer sign in.")


def _choice(session, text):
    if text in (handing_over.TURNS, handing_over.HEAD):
        return handing_over.Choice(text)
    return handing_over.Choice(handing_over.PERSON, _account(session, text).id)


def break_glass(session, args, *, today):
    """Mark the account that opens the door when nothing else does, or take the mark away."""
    user = _account(session, args.username)
    if not args.off and not user.password:
        raise CommandError(
            f"{args.username} has no password of its own: `run.py user password {args.username}` gives it one."
        )
    security.mark_break_glass(session, user.id, not args.off)
    security.note(session, user.id, "unmarked" if args.off else "marked")
    if args.off:
        print(f"{args.username} is an account like any other.")
    else:
        print(f"{args.username} can sign in with its password whatever happens; each time is noted and shown.")


DEEDS = {
    "list": list_accounts,
    "add": add,
    "password": set_password,
    "activate": activate,
    "deactivate": deactivate,
    "break-glass": break_glass,
}


def _account(session, username):
    user = session.scalars(select(User).where(User.username == username)).first()
    if user is None:
        raise CommandError(f"There is no account “{username}”; `run.py user list` shows all.")
    return user


def _made():
    return secrets.token_urlsafe(12)


def _asked():
    if sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("Once more: ") != password:
            raise CommandError("The two are not the same; nothing was changed.")
    else:
        password = sys.stdin.readline().rstrip("\n")
    return password
