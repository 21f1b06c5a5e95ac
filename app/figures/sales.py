"""What was sold: deals won and lost, revenue, and where the deals stand. One report, for screen and paper.

Deals count by the day they were closed, revenue by the day of the invoice. All of it is per currency: amounts
of different currencies are never added up.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import case, func, select

from app import roles
from app.access import principal_of
from app.extensions import N_
from app.figures import Figure, days_between, number_of, total
from app.figures.periods import Period
from app.models import Company, Deal, Department, Invoice, InvoiceLine, Pipeline, Product, Staff, Stage

# --------------------------------------------------------------------------------------------- the figures


def _ended(*outcomes):
    return Deal.stage_id.in_(select(Stage.id).where(Stage.outcome.in_(outcomes)))


def _closed(*outcomes):
    def counted(period, currency):
        return period.holds(Deal.closed_on), Deal.currency == currency, _ended(*outcomes)

    return counted


def _opened(period, currency):
    return period.holds(Deal.opened_on), Deal.currency == currency


def _issued(period, currency):
    return period.holds(Invoice.issued_on), Invoice.currency == currency


def _on_issued_invoices(period, currency):
    return (InvoiceLine.invoice_id.in_(select(Invoice.id).where(*_issued(period, currency))),)


_DEALS = (number_of(Deal), total(Deal.amount).label("value"))
_INVOICES = (number_of(Invoice), total(Invoice.net).label("value"))

WON = Figure(
    "won",
    N_("Deals won"),
    N_("Deals closed in the period that stand in a won stage, with the sum of their amounts."),
    Deal,
    _closed("won"),
    _DEALS,
)
LOST = Figure(
    "lost",
    N_("Deals lost"),
    N_("Deals closed in the period that stand in a lost stage, with the sum of their amounts."),
    Deal,
    _closed("lost"),
    _DEALS,
)
LOST_REASONS = Figure(
    "lost_reasons",
    N_("Why deals were lost"),
    N_("The lost deals of the period by the reason that was given."),
    Deal,
    _closed("lost"),
    _DEALS,
    by=(Deal.lost_reason,),
)
WIN_RATE = Figure(
    "win_rate",
    N_("Win rate"),
    N_("Of all deals won or lost in the period, the share that was won, by number."),
    Deal,
    _closed("won", "lost"),
    (number_of(Deal), func.coalesce(func.sum(case((_ended("won"), 1), else_=0)), 0).label("won")),
)
DAYS_TO_WIN = Figure(
    "days_to_win",
    N_("Days to win"),
    N_("Days from the opening of a deal to the day it was won, on average over the deals won in the period."),
    Deal,
    _closed("won"),
    (
        number_of(Deal),
        func.coalesce(func.sum(days_between(Deal.opened_on, Deal.closed_on)), 0).label("days"),
    ),
)
REVENUE = Figure(
    "revenue",
    N_("Revenue"),
    N_("Net amount of the invoices issued in the period, without tax."),
    Invoice,
    _issued,
    _INVOICES,
)
REVENUE_BY_DAY = Figure(
    "revenue_by_day",
    N_("Revenue over time"),
    N_("Net amount of the invoices, by the day they were issued."),
    Invoice,
    _issued,
    _INVOICES,
    by=(Invoice.issued_on,),
)
REVENUE_BY_OWNER = Figure(
    "revenue_by_owner",
    N_("Revenue by owner"),
    N_("Net amount of the invoices issued in the period, by the person who looks after the invoice."),
    Invoice,
    _issued,
    _INVOICES,
    by=(Invoice.owner_id,),
)
REVENUE_BY_CUSTOMER = Figure(
    "revenue_by_customer",
    N_("Revenue by customer"),
    N_("Net amount of the invoices issued in the period, by customer; those you may not see in one row."),
    Invoice,
    _issued,
    _INVOICES,
    by=(Invoice.company_id,),
)
REVENUE_BY_PRODUCT = Figure(
    "revenue_by_product",
    N_("Revenue by product"),
    N_("Net amount of the lines of the invoices issued in the period, by product."),
    InvoiceLine,
    _on_issued_invoices,
    (number_of(InvoiceLine), total(InvoiceLine.net).label("value")),
    by=(InvoiceLine.product_id,),
)
FUNNEL = Figure(
    "funnel",
    N_("Funnel"),
    N_("Deals opened in the period, by the stage in which they stand today, won and lost included."),
    Deal,
    _opened,
    _DEALS,
    by=(Deal.stage_id,),
)

FIGURES = {
    figure.name: figure
    for figure in (
        WON,
        LOST,
        LOST_REASONS,
        WIN_RATE,
        DAYS_TO_WIN,
        REVENUE,
        REVENUE_BY_DAY,
        REVENUE_BY_OWNER,
        REVENUE_BY_CUSTOMER,
        REVENUE_BY_PRODUCT,
        FUNNEL,
    )
}

# --------------------------------------------------------------------------------------------- the report

LONGEST_TABLE = 100  # rows; what is beyond them stands in one more, so that the sum stays whole


@dataclass(frozen=True)
class Amount:
    """How many, and worth how much."""

    number: int = 0
    value: Decimal = Decimal("0.00")

    def __add__(self, other):
        return Amount(self.number + other.number, self.value + other.value)

    def share_of(self, whole):
        """Its part of the whole by value, 0 to 1 in steps of a thousandth; None of nothing."""
        return _mean(self.value, whole.value, "0.001")


@dataclass(frozen=True)
class Line(Amount):
    """One row of a table.

    `kind` says how to read it: `named` (by `name`), `none` (nobody, no customer, no product), `hidden`
    (the link leads beyond the reader's reach) or `rest` (`name` many more rows, summed up).
    """

    kind: str = "named"
    name: str | None = None
    id: int | None = None


@dataclass(frozen=True)
class Summary:
    """The few numbers at the top; what the reader's role does not let him know is None."""

    won: Amount
    lost: Amount | None
    win_rate: Decimal | None  # 0 to 1
    days_to_win: Decimal | None
    revenue: Amount


@dataclass(frozen=True)
class Coverage:
    """Whose rows one entity's figures cover: the reach of a grant, and the department it starts from."""

    reach: str
    department: str | None = None


@dataclass(frozen=True)
class SalesReport:
    """Everything the sales report says about one period in one currency, for one reader."""

    period: Period
    currency: str
    currencies: tuple
    reader: str
    made_on: date
    deals: Coverage
    invoices: Coverage
    knows_all_outcomes: bool  # False: the reader may see won deals only, so there is no losing and no funnel
    now: Summary
    before: Summary | None
    parts: tuple  # ((first day, last day), Amount)
    owners: tuple
    customers: tuple
    products: tuple
    lost_reasons: tuple
    funnel: tuple

    @property
    def opened(self):
        """All deals opened in the period: what the funnel adds up to."""
        return sum(self.funnel, Amount())

    @property
    def is_empty(self):
        return not (self.now.won.number or self.now.revenue.number or self.funnel or self.lost_reasons)


def sales_report(session, period, currency=None, *, today, house_currency):
    """The report for whoever this session works for; without a currency, in the one the period uses most."""
    used = currencies(session, period)
    currency = currency or (used[0] if used else house_currency)
    principal = principal_of(session)
    all_outcomes = _knows_all_outcomes(principal)
    return SalesReport(
        period=period,
        currency=currency,
        currencies=used,
        reader=principal.name or principal.username,
        made_on=today,
        deals=_coverage(session, principal, "deal"),
        invoices=_coverage(session, principal, "invoice"),
        knows_all_outcomes=all_outcomes,
        now=_summary(session, period, currency, all_outcomes),
        before=_summary(session, period.previous, currency, all_outcomes) if period.previous else None,
        parts=_parts(session, period, currency),
        owners=_table(session, REVENUE_BY_OWNER, period, currency, Staff),
        customers=_table(session, REVENUE_BY_CUSTOMER, period, currency, Company),
        products=_table(session, REVENUE_BY_PRODUCT, period, currency, Product),
        lost_reasons=_lost_reasons(session, period, currency) if all_outcomes else (),
        funnel=_funnel(session, period, currency) if all_outcomes else (),
    )


def currencies(session, period):
    """The currencies of the period's deals and invoices, the most used (closed, issued) first."""
    uses = defaultdict(int)
    deals = select(Deal.currency, func.count(Deal.closed_on)).where(
        period.holds(Deal.closed_on) | period.holds(Deal.opened_on)
    )
    invoices = select(Invoice.currency, func.count(Invoice.id)).where(period.holds(Invoice.issued_on))
    for statement, column in ((deals, Deal.currency), (invoices, Invoice.currency)):
        for currency, number in session.execute(statement.group_by(column)):
            uses[currency] += number
    return tuple(sorted(uses, key=lambda currency: (-uses[currency], currency)))


def stages_by_outcome(session):
    """Outcome -> the ids of its stages, for lists that show what was counted."""
    stages = defaultdict(list)
    for key, outcome in session.execute(select(Stage.id, Stage.outcome).order_by(Stage.id)):
        stages[outcome].append(key)
    return stages


def latest_on(session):
    """The last day with anything to report, or None: where a reader is sent whose period is empty."""
    closed = session.scalar(select(func.max(Deal.closed_on)))
    issued = session.scalar(select(func.max(Invoice.issued_on)))
    return max((day for day in (closed, issued) if day), default=None)


# --------------------------------------------------------------------------------------------- its parts


def _summary(session, period, currency, all_outcomes):
    def one(figure):
        return session.execute(figure.query(period, currency)).one()

    win_rate, days = one(WIN_RATE) if all_outcomes else None, one(DAYS_TO_WIN)
    return Summary(
        won=Amount(*one(WON)),
        lost=Amount(*one(LOST)) if all_outcomes else None,
        win_rate=_mean(win_rate.won, win_rate.number, "0.001") if win_rate else None,
        days_to_win=_mean(days.days, days.number, "0.1"),
        revenue=Amount(*one(REVENUE)),
    )


def _mean(whole, number, step):
    """The whole shared out over a number, rounded half-up to `step`; None over nothing."""
    return (Decimal(whole) / number).quantize(Decimal(step), ROUND_HALF_UP) if number else None


def _parts(session, period, currency):
    days = {day: Amount(*rest) for day, *rest in session.execute(REVENUE_BY_DAY.query(period, currency))}
    return tuple(
        ((first, last), sum((amount for day, amount in days.items() if first <= day <= last), Amount()))
        for first, last in period.parts
    )


def _table(session, figure, period, currency, target):
    """The figure's groups, the largest first, by the names of the rows they point to."""
    found = session.execute(figure.query(period, currency)).all()
    # One more SELECT, not a join: whom the reader may not see keeps his sum and goes without a name.
    wanted = select(target.id, target.name).where(target.id.in_(figure.groups(period, currency)))
    names = dict(session.execute(wanted).all())
    named, nobody, hidden = [], Amount(), Amount()
    for key, number, value in found:
        if key is None:
            nobody += Amount(number, value)
        elif key in names:
            named.append(Line(number, value, "named", names[key], key))
        else:
            hidden += Amount(number, value)
    named.sort(key=lambda line: (-line.value, line.name))
    kept, rest = named[:LONGEST_TABLE], named[LONGEST_TABLE:]
    others = (("rest", str(len(rest)), sum(rest, Amount())), ("none", None, nobody), ("hidden", None, hidden))
    kept += [Line(amount.number, amount.value, kind, name) for kind, name, amount in others if amount.number]
    return tuple(kept)


def _lost_reasons(session, period, currency):
    found = session.execute(LOST_REASONS.query(period, currency)).all()
    lines = [Line(number, value, "named" if reason else "none", reason) for reason, number, value in found]
    return tuple(sorted(lines, key=lambda line: (-line.number, -line.value, line.name or "")))


def _funnel(session, period, currency):
    """Every stage of the pipelines that have deals of this period, in the board's order, empty ones too."""
    found = {key: Amount(*rest) for key, *rest in session.execute(FUNNEL.query(period, currency))}
    stages = session.execute(
        select(Stage.id, Stage.name, Stage.pipeline_id, Pipeline.name)
        .join(Stage.pipeline)
        .order_by(Pipeline.position, Pipeline.id, Stage.position, Stage.id)
    ).all()
    pipelines = {pipeline for key, _, pipeline, _ in stages if key in found}
    return tuple(
        Line(
            found.get(key, Amount()).number,
            found.get(key, Amount()).value,
            "named",
            f"{pipeline_name} · {name}" if len(pipelines) > 1 else name,
            key,
        )
        for key, name, pipeline, pipeline_name in stages
        if pipeline in pipelines
    )


# --------------------------------------------------------------------------------------------- whose rows


def _knows_all_outcomes(principal):
    """Whether some grant shows deals of every outcome: else the win rate would always read 100 %."""
    grants = principal.grants_for("see", "deal")
    return principal.is_system or any(grant.condition is None for grant in grants)


_WIDTH = (roles.OWN, roles.DEPARTMENT, roles.BELOW, roles.ALL)


def _coverage(session, principal, entity):
    """The widest reach at which the reader sees rows of this entity."""
    if principal.is_system:
        return Coverage(roles.ALL)
    grants = principal.grants_for("see", entity)
    if not grants:
        return Coverage("nothing")
    reach = max((grant.reach for grant in grants), key=_WIDTH.index)
    near = {grant.via.department_id for grant in grants if grant.reach == reach and grant.via}
    own = select(Department.name).where(Department.id.in_(near or {principal.department_id}))
    return Coverage(reach, ", ".join(session.scalars(own.order_by(Department.name))))
