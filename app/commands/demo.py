"""Load the demo company, with accounts that everybody knows, into a database that has no accounts yet."""

from datetime import datetime
from functools import partial

from flask import Flask
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select

from app import access, create_app, security
from app.commands import CommandError
from app.commands.demo_company import write_company
from app.commands.upgrade import upgrade
from app.models import Department

# Below Sales, beside what `upgrade` writes.
SALES_TEAMS = ("North", "South")

# Username -> first name, last name, department, role, job title, reports to. The order is that of reporting.
CAST = {
    "director": ("Helena", "Brandt", "Management", "director", "Managing Director", None),
    "admin": ("Alex", "Morgan", "Management", "admin", "IT Administrator", "director"),
    "head.sales": ("Thomas", "Okafor", "Sales", "head of sales", "Head of Sales", "director"),
    "rep.north": ("Ingrid", "Solberg", "North", "sales", "Account Manager", "head.sales"),
    "rep.south": ("Marco", "Bianchi", "South", "sales", "Account Manager", "head.sales"),
    "head.support": ("Priya", "Raman", "Support", "head of support", "Head of Support", "director"),
    "agent": ("Jonas", "Weber", "Support", "support", "Support Agent", "head.support"),
    "marketer": ("Camille", "Laurent", "Marketing", "marketing", "Campaign Manager", "director"),
    "finance": ("Sofía", "Herrera", "Finance", "finance", "Accountant", "director"),
}


def add_arguments(parser):
    """It takes none."""


def run(args, settings):
    say = partial(print, flush=True)
    if settings.is_public:
        raise CommandError(
            "The demo accounts have a password that everybody knows: they are made where HOST is 127.0.0.1 and no "
            "PUBLIC_URL is set."
        )
    app = create_app(settings)
    upgrade(app, say=say)
    if load_if_empty(app, say=say):
        return
    with app.app_context(), access.system_session("demo", door="command", writes=False) as session:
        if not security.has_demo_accounts(session):
            raise CommandError(
                "This database has accounts of its own; the demo company is only loaded into an empty one."
            )
    say("The demo company is loaded already.")


def load_if_empty(settings_or_app, say=print):
    """Load the demo company unless there is any account; says whether it did. `upgrade` must have run."""
    app = settings_or_app if isinstance(settings_or_app, Flask) else create_app(settings_or_app)
    with app.app_context(), access.system_session("demo company", door="command") as session:
        if session.scalars(select(User.id).limit(1)).first() is not None:
            return False
        say("Loading the demo company …")
        settings = app.config["SETTINGS"]
        write_company(
            session,
            write_accounts(session),
            today=datetime.now(settings.zone).date(),
            currency=settings.CURRENCY,
            payment_days=settings.PAYMENT_DAYS,
        )
    return True


def write_accounts(session):
    """The nine accounts and their departments; returns the staff by username."""
    departments = {row.name: row for row in session.scalars(select(Department))}
    for name in SALES_TEAMS:
        if name not in departments:
            departments[name] = Department(name=name, parent_id=departments["Sales"].id)
            session.add(departments[name])
    session.flush()
    staff = {}
    for username, (first_name, last_name, department, role, job_title, boss) in CAST.items():
        staff[username] = security.create_account(
            session,
            username=username,
            first_name=first_name,
            last_name=last_name,
            email=f"{username}@foyer.example",
            department_id=departments[department].id,
            roles=[role],
            password=security.DEMO_PASSWORD,
            job_title=job_title,
            reports_to_id=staff[boss].id if boss else None,
        )
    return staff
