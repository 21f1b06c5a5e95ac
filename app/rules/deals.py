"""Deals: what is in them, and how they go from stage to stage until they are won or lost."""

from decimal import Decimal

from sqlalchemy import select

from app.extensions import N_
from app.models import Deal, DealLine, Invoice
from app.rules import RuleBroken, boards
from app.rules.boards import first_stage
from app.rules.money import exact, line_net, within_reach

__all__ = [
    "BILLED",
    "add_line",
    "check_billed",
    "check_days",
    "edit_line",
    "first_stage",
    "is_closed",
    "lose",
    "move",
    "recalculate",
    "remove_line",
    "reopen",
    "win",
]

LONGEST_REASON = Deal.__table__.c.lost_reason.type.length
LONGEST_DESCRIPTION = DealLine.__table__.c.description.type.length


BILLED = ("company_id", "amount", "currency")  # what an invoice of the deal has taken over


def is_closed(deal):
    """Whether the deal has ended, won or lost."""
    return deal.stage is not None and deal.stage.outcome != "open"


def check_billed(deal, changed):
    """An invoiced deal stays as it was billed. `changed` are the names of the columns that an edit changed."""
    for name in BILLED:
        if name in changed:
            raise RuleBroken(
                N_("“%(deal)s” has been invoiced: this stays as it was billed."), field=name, deal=str(deal)
            )


def check_days(deal):
    """No deal ends before it begins."""
    if deal.closed_on is not None and deal.closed_on < deal.opened_on:
        raise RuleBroken(N_("The deal was closed before this day."), field="opened_on")


# --------------------------------------------------------------------------------------------- its lines


def add_line(
    deal, *, product=None, description=None, quantity=1, unit_price=None, discount=0, tax_rate_id=None
):
    """Put a product or a described thing into an open deal; what is not given comes from the product."""
    _check_open(deal)
    line = DealLine(position=max((line.position for line in deal.lines), default=0) + 1)
    if product is not None:
        line.product = product
        if unit_price is None:
            unit_price = _price_of(product, deal)
        tax_rate_id = product.tax_rate_id if tax_rate_id is None else tax_rate_id
        description = description or product.name
    _fill(
        line,
        description=description,
        quantity=quantity,
        unit_price=0 if unit_price is None else unit_price,
        discount=discount,
    )
    line.tax_rate_id = tax_rate_id
    deal.lines.append(line)
    recalculate(deal)
    return line


def edit_line(line, **changes):
    """Change description, quantity, unit_price, discount or tax_rate_id of a line in an open deal."""
    _check_open(line.deal)
    if "tax_rate_id" in changes:
        line.tax_rate_id = changes.pop("tax_rate_id")
    stands = {name: getattr(line, name) for name in ("description", "quantity", "unit_price", "discount")}
    _fill(line, **stands | changes)
    recalculate(line.deal)
    return line


def remove_line(deal, line):
    """Take a line out of an open deal. With the last one gone, what the deal is worth is open again."""
    _check_open(deal)
    deal.lines.remove(line)
    if not deal.lines:
        deal.amount = None
    recalculate(deal)


def recalculate(deal):
    """A deal with lines is worth the sum of their nets; one without keeps the amount that was estimated."""
    if deal.lines:
        deal.amount = within_reach(sum(line.net for line in deal.lines))


def _fill(line, *, description, quantity, unit_price, discount):
    description = (description or "").strip()
    if not description:
        raise RuleBroken(N_("Say what is sold: a product or a description."), field="description")
    if len(description) > LONGEST_DESCRIPTION:
        raise RuleBroken(
            N_("The description is longer than %(most)s characters."),
            field="description",
            most=LONGEST_DESCRIPTION,
        )
    quantity = exact(quantity, 3, field="quantity")
    if quantity == 0:
        raise RuleBroken(N_("The quantity cannot be zero."), field="quantity")
    discount = exact(discount, 4, field="discount")
    if not 0 <= discount <= 1:
        raise RuleBroken(N_("The discount must lie between 0 and 100 percent."), field="discount")
    unit_price = exact(unit_price, 4, field="unit_price")
    line.net = line_net(unit_price, quantity, discount)
    line.description, line.quantity, line.unit_price, line.discount = (
        description,
        quantity,
        unit_price,
        discount,
    )


def _price_of(product, deal):
    if product.currency != deal.currency:
        raise RuleBroken(
            N_("“%(product)s” is priced in %(currency)s; say what it costs in %(deal_currency)s."),
            field="unit_price",
            product=str(product),
            currency=product.currency,
            deal_currency=deal.currency,
        )
    return product.price if product.price is not None else Decimal(0)


def _check_open(deal):
    if is_closed(deal):
        raise RuleBroken(N_("“%(deal)s” is already %(stage)s."), deal=str(deal), stage=str(deal.stage))


# --------------------------------------------------------------------------------------------- its way


def win(session, deal, *, by, today):
    """Close an open deal as won. `by` is the id of who does it; the ledger signs for him."""
    _check_open(deal)
    _win(session, deal, boards.stage_for(session, deal, "won"), today)


def lose(session, deal, *, reason, by, today, stage=None):
    """Close an open deal as lost, in the given or the first such stage; who learns from it needs the reason."""
    _check_open(deal)
    if stage is not None and stage.outcome != "lost":
        raise RuleBroken(N_("“%(stage)s” is no stage for lost deals."), field="stage_id", stage=str(stage))
    _lose(session, deal, stage or boards.stage_for(session, deal, "lost"), reason, today)


def reopen(session, deal, *, stage=None, today):
    """Take a closed deal up again, in the given or the first open stage. One that was invoiced stays won."""
    if not is_closed(deal):
        raise RuleBroken(N_("“%(deal)s” is open already."), deal=str(deal))
    _reopen(session, deal, stage or boards.stage_for(session, deal, "open"))


def move(session, deal, stage, *, by, today, before=None, after=None, reason=None):
    """Put the deal into a stage of a board, and do what that means: win, lose, reopen, or only go on."""
    if stage.id == deal.stage_id:
        boards.place(session, deal, stage, before=before, after=after)
    elif stage.outcome == "open":
        if is_closed(deal):
            _reopen(session, deal, stage, before=before, after=after)
        else:
            boards.place(session, deal, stage, before=before, after=after)
    else:
        _check_open(deal)
        if stage.outcome == "won":
            _win(session, deal, stage, today, before=before, after=after)
        else:
            _lose(session, deal, stage, reason, today, before=before, after=after)


def _win(session, deal, stage, today, **where):
    boards.place(session, deal, stage, **where)
    deal.closed_on, deal.lost_reason = today, None
    if deal.company is not None and deal.company.kind == "prospect":
        deal.company.kind = "customer"  # who has bought is one, and finance now sees him


def _lose(session, deal, stage, reason, today, **where):
    reason = (reason or "").strip()
    if not reason:
        raise RuleBroken(N_("Say why “%(deal)s” was lost."), field="lost_reason", deal=str(deal))
    if len(reason) > LONGEST_REASON:
        raise RuleBroken(
            N_("The reason is longer than %(most)s characters."), field="lost_reason", most=LONGEST_REASON
        )
    boards.place(session, deal, stage, **where)
    deal.closed_on, deal.lost_reason = today, reason


def _reopen(session, deal, stage, **where):
    if stage.outcome != "open":
        raise RuleBroken(N_("“%(stage)s” is no open stage."), field="stage_id", stage=str(stage))
    invoice = session.scalars(select(Invoice).where(Invoice.deal_id == deal.id)).first()
    if invoice is not None:
        raise RuleBroken(
            N_("“%(deal)s” has been invoiced (%(invoice)s) and stays as it is."),
            deal=str(deal),
            invoice=str(invoice),
        )
    boards.place(session, deal, stage, **where)
    deal.closed_on, deal.lost_reason = None, None
