"""A deal, its lines, and its way to the end."""

from datetime import date
from decimal import Decimal

import pytest

from app.models import Deal, Product, Stage, TaxRate
from app.rules import RuleBroken, deals, invoices
from tests.rules import world
from tests.rules.world import TODAY

# --------------------------------------------------------------------------------------------- its lines


@pytest.fixture
def deal():
    return Deal(name="Spring order", currency="EUR", stage=Stage(name="New", outcome="open"))


@pytest.fixture
def tea():
    return Product(
        id=7,
        name="Tea",
        price=Decimal("3.3330"),
        currency="EUR",
        tax_rate_id=3,
        tax_rate=TaxRate(percent=Decimal(20)),
    )


def test_a_line_takes_name_price_and_tax_from_its_product(deal, tea):
    line = deals.add_line(deal, product=tea, quantity=2)
    assert (line.description, line.unit_price, line.tax_rate_id) == ("Tea", Decimal("3.3330"), 3)
    assert (line.net, deal.amount) == (Decimal("6.67"), Decimal("6.67"))


def test_what_is_given_goes_before_the_product(deal, tea):
    line = deals.add_line(
        deal,
        product=tea,
        description="Green tea",
        quantity="1.5",
        unit_price=0,
        discount="0.25",
        tax_rate_id=9,
    )
    assert (line.description, line.unit_price, line.tax_rate_id) == ("Green tea", 0, 9)
    assert (line.quantity, line.discount, line.net) == (Decimal("1.500"), Decimal("0.2500"), 0)


def test_lines_stand_in_the_order_in_which_they_came(deal, tea):
    first, second = (deals.add_line(deal, product=tea, quantity=1) for _ in range(2))
    deals.remove_line(deal, first)
    third = deals.add_line(deal, description="Delivery", quantity=1, unit_price=10)
    assert [second.position, third.position] == [2, 3]


def test_a_deal_is_worth_its_lines(deal, tea):
    line = deals.add_line(deal, product=tea, quantity=2)
    deals.add_line(deal, description="Delivery", quantity=1, unit_price=10)
    deals.edit_line(line, quantity=3, discount="0.1")
    assert (line.net, deal.amount) == (Decimal("9.00"), Decimal("19.00"))


def test_a_deal_without_lines_keeps_its_estimate(deal):
    deal.amount = Decimal("500.00")
    deals.recalculate(deal)
    assert deal.amount == Decimal("500.00")


def test_with_its_last_line_a_deal_loses_its_amount(deal, tea):
    deals.remove_line(deal, deals.add_line(deal, product=tea, quantity=2))
    assert deal.amount is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": "0.0004"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"discount": "1.0001"}, "discount"),
        ({"discount": "-0.1"}, "discount"),
        ({"unit_price": "1e12"}, "unit_price"),
        ({"description": " "}, "description"),
        ({"description": "x" * 301}, "description"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(deal, values, field):
    with pytest.raises(RuleBroken) as refusal:
        deals.add_line(deal, **{"description": "Tea", "quantity": 1, "unit_price": 1} | values)
    assert refusal.value.field == field
    assert not deal.lines


def test_a_price_in_another_currency_has_to_be_said(deal, tea):
    tea.currency = "USD"
    with pytest.raises(RuleBroken, match="priced in USD"):
        deals.add_line(deal, product=tea, quantity=1)
    assert deals.add_line(deal, product=tea, quantity=1, unit_price=3).net == 3


def test_the_lines_of_a_closed_deal_stay_as_they_are(deal, tea):
    line = deals.add_line(deal, product=tea, quantity=1)
    deal.stage = Stage(name="Won", outcome="won")
    for change in (
        lambda: deals.add_line(deal, product=tea, quantity=1),
        lambda: deals.edit_line(line, quantity=2),
        lambda: deals.remove_line(deal, line),
    ):
        with pytest.raises(RuleBroken, match="already Won"):
            change()


# --------------------------------------------------------------------------------------------- its way


def test_an_open_deal_is_won(session):
    deal = world.deal(session)
    deals.win(session, deal, by=deal.owner_id, today=TODAY)
    assert (deal.stage.outcome, deal.closed_on, deals.is_closed(deal)) == ("won", TODAY, True)


def test_a_prospect_who_buys_is_a_customer(session):
    company = world.company(session, kind="prospect")
    deal = world.deal(session, customer=company)
    deals.win(session, deal, by=None, today=TODAY)
    assert company.kind == "customer"


def test_a_partner_who_buys_stays_a_partner(session):
    company = world.company(session, kind="partner")
    deals.win(session, world.deal(session, customer=company), by=None, today=TODAY)
    assert company.kind == "partner"


def test_a_won_deal_cannot_be_won_again(session):
    deal = world.deal(session, at="Won")
    with pytest.raises(RuleBroken, match="“Spring order” is already Won"):
        deals.win(session, deal, by=None, today=TODAY)


def test_a_lost_deal_cannot_be_won(session):
    deal = world.deal(session, at="Lost")
    with pytest.raises(RuleBroken, match="already Lost"):
        deals.win(session, deal, by=None, today=TODAY)


def test_an_open_deal_is_lost_with_its_reason(session):
    deal = world.deal(session)
    deals.lose(session, deal, reason=" Too dear ", by=None, today=TODAY)
    assert (deal.stage.outcome, deal.closed_on, deal.lost_reason) == ("lost", TODAY, "Too dear")


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 301])
def test_no_deal_is_lost_without_a_reason_that_can_be_read(session, reason):
    deal = world.deal(session)
    with pytest.raises(RuleBroken) as refusal:
        deals.lose(session, deal, reason=reason, by=None, today=TODAY)
    assert refusal.value.field == "lost_reason"
    assert deal.stage.outcome == "open"


def test_a_closed_deal_is_reopened(session):
    deal = world.deal(session)
    deals.lose(session, deal, reason="Too dear", by=None, today=TODAY)
    deals.reopen(session, deal, today=TODAY)
    assert (str(deal.stage), deal.closed_on, deal.lost_reason) == ("New", None, None)


def test_a_deal_is_reopened_where_one_says(session):
    deal = world.deal(session, at="Won")
    deals.reopen(session, deal, stage=world.stage(session, "Proposal"), today=TODAY)
    assert str(deal.stage) == "Proposal"


def test_an_open_deal_cannot_be_reopened(session):
    with pytest.raises(RuleBroken, match="open already"):
        deals.reopen(session, world.deal(session), today=TODAY)


def test_a_deal_is_not_reopened_into_its_end(session):
    with pytest.raises(RuleBroken, match="no open stage"):
        deals.reopen(session, world.deal(session, at="Won"), stage=world.stage(session, "Lost"), today=TODAY)


def test_an_invoiced_deal_stays_won(session):
    deal = world.won_deal(session)
    invoice = invoices.draft_from(session, deal, by=None, today=TODAY)
    with pytest.raises(RuleBroken, match=f"invoiced .{invoice}"):
        deals.reopen(session, deal, today=TODAY)


def test_moving_a_card_onwards_only_moves_it(session):
    deal = world.deal(session)
    deals.move(session, deal, world.stage(session, "Proposal"), by=None, today=TODAY)
    assert (str(deal.stage), deal.closed_on) == ("Proposal", None)


def test_moving_a_card_into_a_won_stage_wins_it(session):
    deal = world.deal(session)
    deals.move(session, deal, world.stage(session, "Won"), by=None, today=TODAY)
    assert deal.closed_on == TODAY


def test_moving_a_card_into_a_lost_stage_asks_the_reason(session):
    deal = world.deal(session)
    lost = world.stage(session, "Lost")
    with pytest.raises(RuleBroken, match="Say why"):
        deals.move(session, deal, lost, by=None, today=TODAY)
    deals.move(session, deal, lost, by=None, today=TODAY, reason="Too dear")
    assert deal.lost_reason == "Too dear"


def test_moving_a_closed_card_back_reopens_it(session):
    deal = world.deal(session)
    deals.win(session, deal, by=None, today=TODAY)
    deals.move(session, deal, world.stage(session, "New"), by=None, today=TODAY)
    assert deal.closed_on is None


def test_a_won_card_is_not_dragged_among_the_lost(session):
    with pytest.raises(RuleBroken, match="already Won"):
        deals.move(
            session,
            world.deal(session, at="Won"),
            world.stage(session, "Lost"),
            by=None,
            today=TODAY,
            reason="x",
        )


def test_a_won_card_may_change_its_place_among_the_won(session):
    first, second = world.deal(session, "a", at="Won"), world.deal(session, "b", at="Won")
    deals.move(session, second, second.stage, by=None, today=date(2026, 5, 1), before=first)
    assert second.position < first.position
    assert second.closed_on is None


# --------------------------------------------------------------------------------------------- who may


def test_a_rep_wins_the_deal_of_his_department(as_person, as_system):
    with as_system() as session:
        key = world.deal(session, customer=world.company(session, kind="prospect")).id
    with as_person("rep.north") as session:
        deal = session.get(Deal, key)
        deals.add_line(deal, description="Delivery", quantity=1, unit_price=10)
        deals.win(session, deal, by=deal.owner_id, today=TODAY)
    with as_person("finance") as session:
        assert session.get(Deal, key).company.kind == "customer"


def test_another_department_does_not_find_it(as_person, as_system):
    with as_system() as session:
        key = world.deal(session).id
    with as_person("rep.south") as session:
        assert session.get(Deal, key) is None
