"""A firm made of random numbers, to add up a second time in plain SQL."""

import random
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from flask_appbuilder.security.sqla.models import User

from app import access, roles
from app.models import (
    Company,
    Deal,
    Department,
    Invoice,
    InvoiceLine,
    Pipeline,
    Product,
    Staff,
    Stage,
)

CENT = Decimal("0.01")
FIRST_DAY, DAYS = date(2025, 1, 1), 730
REASONS = ("Too expensive", "Went to a competitor", "No budget", None)
STAGES = (("New", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"))

# username -> (department, role)
CAST = {
    "head": ("Sales", "head of sales"),
    "north": ("North", "sales"),
    "south": ("South", "sales"),
    "finance": ("Finance", "finance"),
    "director": ("Sales", "director"),
    "agent": ("Support", "support"),
}
TREE = {"Sales": None, "North": "Sales", "South": "Sales", "Support": None, "Finance": None}


def build(session, seed, deals=240):
    """Fill an empty database; the same seed makes the same firm."""
    dice = random.Random(seed)
    departments = _departments(session)
    staff = _staff(session, departments)
    stages = _stages(session)
    products = [Product(name=f"Product {number}", currency="EUR") for number in range(12)]
    companies = [
        Company(
            name=f"Customer {number}",
            kind=dice.choice(["customer", "customer", "prospect"]),
            department_id=departments[dice.choice(list(TREE))],
        )
        for number in range(30)
    ]
    session.add_all([*products, *companies])
    session.flush()
    for number in range(deals):
        _deal(session, dice, number, departments, staff, stages, companies, products)
    session.flush()


def principal(session, username):
    """One of the cast, as he stands in the database."""
    department_name, role = CAST[username]
    departments = session.query(Department).all()
    own = next(row for row in departments if row.name == department_name)
    below = {own.id} | {row.id for row in departments if row.parent_id == own.id}
    return access.Principal(
        id=list(CAST).index(username) + 1,
        username=username,
        name=username.title(),
        department_id=own.id,
        departments=frozenset({own.id}),
        below=frozenset(below),
        persons=(list(CAST).index(username) + 1,),
        roles=(role,),
        grants=access.held(
            (*roles.EVERYONE, *roles.grants_of(role)),
            person_id=list(CAST).index(username) + 1,
            department_id=own.id,
            below=below,
        ),
    )


def _departments(session):
    ids = {}
    for name, parent in TREE.items():
        department = Department(name=name, parent_id=ids.get(parent))
        session.add(department)
        session.flush()
        ids[name] = department.id
    return ids


def _staff(session, departments):
    for number, (username, (department, _role)) in enumerate(CAST.items(), 1):
        session.add(User(id=number, first_name=username, last_name="x", username=username, email=username))
        session.flush()
        session.add(Staff(id=number, name=username.title(), department_id=departments[department]))
    session.flush()
    return [*range(1, len(CAST) + 1), None]


def _stages(session):
    stages = []
    for position, pipeline_name in enumerate(("Sales", "Renewals")):
        pipeline = Pipeline(name=pipeline_name, kind="deal", position=position)
        session.add(pipeline)
        session.flush()
        stages += [
            Stage(name=name, outcome=outcome, position=place, pipeline_id=pipeline.id)
            for place, (name, outcome) in enumerate(STAGES)
        ]
    session.add_all(stages)
    session.flush()
    return stages


def _deal(session, dice, number, departments, staff, stages, companies, products):
    stage = dice.choice(stages)
    opened_on = FIRST_DAY + timedelta(days=dice.randrange(DAYS))
    is_closed = stage.outcome != "open"
    deal = Deal(
        name=f"Deal {number}",
        company_id=dice.choice(companies).id if dice.random() > 0.1 else None,
        department_id=departments[dice.choice(["Sales", "North", "South"])],
        owner_id=dice.choice(staff),
        stage_id=stage.id,
        amount=dice.choice([None, _amount(dice), _amount(dice), _amount(dice)]),
        currency=dice.choice(["EUR", "EUR", "USD"]),
        opened_on=opened_on,
        closed_on=opened_on + timedelta(days=dice.randrange(90)) if is_closed else None,
        lost_reason=dice.choice(REASONS) if stage.outcome == "lost" else None,
    )
    session.add(deal)
    session.flush()
    if stage.outcome == "won":
        _invoice(session, dice, deal, number, products)


def _invoice(session, dice, deal, number, products):
    is_issued = dice.random() > 0.2
    lines = [_line(dice, products) for _ in range(dice.randrange(1, 5))]
    net = sum(line.net for line in lines)
    session.add(
        Invoice(
            number=f"R-{number:05}" if is_issued else None,
            issued_on=deal.closed_on + timedelta(days=dice.randrange(5)) if is_issued else None,
            deal_id=deal.id,
            company_id=deal.company_id,
            department_id=deal.department_id,
            owner_id=deal.owner_id,
            currency=deal.currency,
            net=net,
            tax=0,
            gross=net,
            billed_to="Somebody",
            lines=lines,
        )
    )


def _line(dice, products):
    product = dice.choice([*products, None])
    quantity, price = Decimal(dice.randrange(1, 30)), Decimal(dice.randrange(1, 99999)) / 1000
    return InvoiceLine(
        product_id=product and product.id,
        description="Something",
        quantity=quantity,
        unit_price=price,
        net=(quantity * price).quantize(CENT, ROUND_HALF_UP),
    )


def _amount(dice):
    return Decimal(dice.randrange(1, 5_000_000)) / 100
