"""The main job at the screen, with JavaScript and without: from a new customer to a paid invoice, a solved ticket
and a campaign's answer; and what happens when a form is wrong or somebody else was faster.

Every desk complains of a violated policy, a console error, a failed request and a request to another host.
"""

import re
from itertools import count

import pytest
from playwright.sync_api import expect

from app.audit.papers import pages_of
from tests.browser.desk import is_move

with_and_without = pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "no-javascript"])
_number = count(1)


NAMES = "Albers Boysen Carstens Detlefs Ehlers Feddersen Gerdes Hinrichs Ipsen Jessen Klaassen Lorenzen".split()


@pytest.fixture
def customer():
    """A name that no other test gives, nor one like it: what looks alike is asked about."""
    return f"{NAMES[next(_number) % len(NAMES)]} GmbH"


# --------------------------------------------------------------------------------------------- sales and finance


@pytest.mark.parametrize("engine, javascript", [("postgresql", True), ("sqlite", False)], indirect=["engine"])
def test_from_a_new_customer_to_a_paid_invoice(desk, customer, javascript):
    rep, finance = desk("rep.north"), desk("finance")
    deal = open_a_deal(rep, customer)
    move_it_on(rep, deal, javascript)
    win_it(rep, deal)
    number, total = issue_its_invoice(finance, deal)
    open_its_paper(finance, number, total, customer)
    record_the_payment(finance)
    rep.open(f"/invoices/?q={number}")
    rep.sees(number)


def open_a_deal(rep, customer):
    """A company, a contact at it and a deal of two lines; returns the deal's name."""
    add_company(rep, customer)
    rep.open("/contacts/").follow("Add")
    rep.fill("First name", "Wiebke")
    name = customer.split()[0]
    rep.fill("Last name", name)
    rep.fill("Company", customer)  # typed by name, found by the server
    rep.fill("E-mail", f"wiebke@{name.lower()}.example")
    rep.press("Save")
    assert rep.fact("Company") == customer

    rep.follow(customer)
    expect(rep.h1).to_contain_text(customer)
    deals = rep.main.locator("section").filter(has=rep.page.get_by_role("heading", name=re.compile("^Deals")))
    rep.follow("Add", within=deals)
    deal = f"Reading room for {customer}"
    sheet = rep.sheet
    rep.fill("Name", deal, within=sheet)
    assert customer in rep.value_of("Company", within=sheet)
    rep.add(deal)
    assert rep.fact("Stage") == "New"

    for product, quantity, discount in (("Task chair “Kumo”", "12", "5"), ("Space planning", "3.5", "")):
        adder = rep.unfold("Add a line")
        rep.fill("Product", product, within=adder)
        rep.fill("Quantity", quantity, within=adder)
        rep.fill("Discount %", discount, within=adder)
        rep.press("Add the line", within=adder)
    net = rep.page.locator("#lines tfoot td.end").inner_text()
    assert net == "€6,255.50", "12 × 512.50 − 5 % + 3.5 × 118.00"
    return deal


def add_company(rep, customer):
    rep.open("/companies/").follow("Add")
    rep.fill("Name", customer)
    rep.choose("Kind", "Customer")
    rep.fill("Street", f"{customer.split()[0]}weg 12")
    rep.fill("Postal code", "21037")
    rep.fill("City", "Hamburg")
    rep.fill("Country", "Germany")
    rep.press("Save")
    expect(rep.h1).to_contain_text(customer)


def add_deal(rep):
    """A deal without more; returns its name."""
    deal = f"Window seats {next(_number)}"
    rep.open("/deals/new")
    rep.fill("Name", deal)
    rep.press("Save")
    return deal


def move_it_on(rep, deal, javascript):
    """From the first column to the second, by mouse or by form; the columns count on."""
    rep.open("/deals/board?owner=me")
    before = {stage: rep.count_of(stage) for stage in ("New", "Qualified")}
    if javascript:
        rep.drag(deal, "Qualified")
    else:
        rep.move_by_form(deal, "Qualified")
        rep.open("/deals/board?owner=me")
    for stage, change in (("New", -1), ("Qualified", 1)):
        expect(rep.column(stage).locator("[data-count]")).to_have_text(str(before[stage] + change))
    rep.open("/deals/board?owner=me")
    expect(rep.column("Qualified").locator("[data-card]").filter(has_text=deal)).to_have_count(1)


def win_it(rep, deal):
    rep.open("/deals/board?owner=me").follow(deal)
    rep.press("Won")
    assert "Congratulations" in rep.said
    assert rep.fact("Stage") == "Won"


def issue_its_invoice(finance, deal):
    """Drafted from the won deal and issued; returns its number and total as the page shows them."""
    finance.open("/deals/")
    finance.main.get_by_role("searchbox").fill(deal)
    with finance.page.expect_navigation():
        finance.main.get_by_role("searchbox").press("Enter")
    finance.follow(deal)
    finance.press("Draft the invoice")
    finance.sees("draft")
    finance.press("Issue")
    assert "Issued as" in finance.said
    number = finance.h1.inner_text().split()[0]
    assert re.fullmatch(r"INV-\d{4}-\d{5}", number)
    total = finance.page.locator(".stat", has_text="Total").locator(".stat-value").inner_text()
    assert total == "€7,444.05", "6,255.50 and 19 % of it, rounded half up"
    return number, total


def open_its_paper(finance, number, total, customer):
    link = finance.main.get_by_role("link", name="PDF", exact=True).get_attribute("href")
    headers, paper = finance.download(link)
    assert headers["content-type"] == "application/pdf"
    assert paper.startswith(b"%PDF")
    text = " ".join(pages_of(paper))
    for said in (number, total, customer, "21037 Hamburg", "Task chair “Kumo”", "5%"):
        assert said in text
    assert finance.download(link)[1] == paper, "the same bytes every time"


def record_the_payment(finance):
    assert finance.value_of("Amount") == "7444.05"
    finance.fill("Amount", "444.05")
    finance.press("Record the payment")
    finance.sees("partly paid")
    assert finance.value_of("Amount") == "7000.00", "what is left to pay"
    finance.fill("Amount", "8000")
    finance.fill("Reference", "KTO 4711")
    finance.press("Record the payment", status=422)
    assert (finance.value_of("Amount"), finance.value_of("Reference")) == ("8000", "KTO 4711")
    finance.fill("Amount", "7000")
    finance.press("Record the payment")
    expect(finance.h1).to_contain_text("paid")
    expect(finance.page.locator(".stat", has_text="Open").locator(".stat-value")).to_have_text("€0.00")


@with_and_without
def test_a_lost_deal_asks_for_the_reason(desk, javascript):
    rep = desk("rep.north")
    deal = add_deal(rep)
    rep.open("/deals/board?owner=me")
    if javascript:
        rep.drag(deal, "Lost", status=422)
        dialog, close = rep.sheet, rep.page.get_by_role("button", name="Close as lost")
        expect(dialog.get_by_role("heading")).to_contain_text("Lose")
        rep.expects(422)
        close.click()
        expect(dialog.locator(".field-error")).to_be_visible()
        rep.fill("Why was it lost?", "The lift was too small", within=dialog)
        close.click()
        expect(rep.column("Lost").locator("[data-card]").filter(has_text=deal)).to_have_count(1)
        rep.follow(deal)
        expect(rep.h1).to_contain_text(deal)
    else:
        rep.move_by_form(deal, "Lost")
        expect(rep.h1).to_contain_text("Lose")
        rep.press("Close as lost", status=422)
        rep.fill("Why was it lost?", "The lift was too small")
        rep.press("Close as lost")
    assert rep.fact("Stage") == "Lost"
    assert rep.fact("Reason for the loss") == "The lift was too small"


# --------------------------------------------------------------------------------------------- support and marketing


@with_and_without
def test_a_ticket_is_answered_and_solved(desk, javascript):
    agent, subject = desk("agent"), f"Drawer sticks, case {next(_number)}"
    agent.open("/tickets/new")
    agent.fill("Subject", subject)
    agent.fill("Request", "The left drawer opens halfway.")
    agent.fill("Company", "Ashworth & Daughters Brewery")
    agent.choose("Priority", "High")
    agent.press("Save")
    agent.sees("The left drawer opens halfway.")

    panel = agent.unfold("Assign")
    agent.choose("Who works on it?", "Jonas Weber", within=panel)
    agent.press("Assign", within=panel)
    assert agent.fact("Owner").endswith("Jonas Weber")

    answer = "Write to the customer, or to your colleagues"
    agent.press("Send", status=422)
    agent.fill(answer, "Please pull it out and turn the screw below.")
    agent.press("Send")
    agent.field("Internal note").check()
    agent.fill(answer, "Same series as last week.")
    agent.press("Send")
    talk = agent.page.locator("section").filter(has=agent.page.get_by_role("heading", name="Conversation"))
    events = talk.locator(".event")
    expect(events).to_have_count(2)
    expect(events.filter(has_text="internal")).to_contain_text("Same series as last week.")

    agent.open("/tickets/board")
    if javascript:
        agent.drag(subject, "In progress")
    else:
        agent.move_by_form(subject, "In progress")
    agent.open("/tickets/board").follow(subject)
    assert agent.fact("Stage") == "In progress"
    agent.press("Solve")
    assert agent.fact("Stage") == "Solved"
    agent.press("Reopen")
    expect(agent.h1).not_to_contain_text("Solved")


@with_and_without
def test_a_campaign_takes_members_from_a_filtered_list(desk, customer, javascript):
    marketer, campaign = desk("marketer"), f"Open house for {customer}"
    marketer.open("/campaigns/").follow("Add")
    marketer.fill("Name", campaign)
    marketer.press("Save")

    marketer.follow("Add from contacts")
    marketer.open("/contacts/?city.is=Leeds")
    marketer.sees("Leeds")
    how_many = marketer.page.locator("tbody tr").count()
    assert how_many > 1

    if javascript:
        marketer.page.get_by_label("Select all of this page").check()
    else:
        marketer.choose("With", "all rows that match")
    marketer.choose("What to do", "Add to a campaign")
    marketer.press("Go on")
    marketer.sees(str(how_many))
    marketer.choose("Campaign", campaign)
    marketer.press("Add to the campaign")
    assert f"{how_many} contacts were added" in marketer.said
    tile = marketer.page.locator(".stat", has_text="Planned").locator(".stat-value")
    expect(tile).to_have_text(str(how_many))

    first = marketer.page.locator("tbody tr").first
    marketer.choose("Status", "Answered", within=first)
    marketer.press("Set", within=first)
    expect(tile).to_have_text(str(how_many - 1))
    marketer.page.locator(".stat", has_text="Answered").click()
    expect(marketer.page.locator("tbody tr")).to_have_count(1)


# --------------------------------------------------------------------------------------------- what keeps its words


@with_and_without
def test_a_form_that_does_not_fit_keeps_what_was_typed(desk):
    rep = desk("rep.north")
    rep.open("/contacts/new")
    rep.fill("First name", "Wiebke")
    rep.fill("Company", "No Such Company of Ours")
    rep.fill("E-mail", "wiebke at home")
    rep.fill("Notes", "Met at the fair.\nLikes oak.")
    rep.press("Save", status=422)
    rep.sees("3 fields need your attention.")
    shown = [rep.value_of(label) for label in ("First name", "Company", "E-mail", "Notes")]
    assert shown == ["Wiebke", "No Such Company of Ours", "wiebke at home", "Met at the fair.\nLikes oak."]
    for label, problem in {
        "Last name": "This is needed.",
        "Company": "Nothing is named “No Such Company of Ours”.",
        "E-mail": "This is not a mail address.",
    }.items():
        assert rep.problem_of(label) == problem


@with_and_without
def test_an_edit_of_what_has_changed_shows_both_and_keeps_what_was_typed(desk, customer):
    mine, theirs = desk("rep.north"), desk("head.sales")
    add_company(mine, customer)
    record = mine.path
    mine.open(f"{record}/edit")
    theirs.open(f"{record}/edit")
    theirs.fill("Phone", "+49 40 1111")
    theirs.press("Save")

    mine.fill("Phone", "+49 40 2222")
    mine.fill("Notes", "Prefers mail.")
    mine.press("Save", status=409)
    mine.sees("Thomas Okafor changed this record")
    row = mine.page.locator(".conflict tr").filter(has_text="Phone")
    assert row.locator("td").all_inner_texts() == ["+49 40 2222", "+49 40 1111"]
    assert (mine.value_of("Phone"), mine.value_of("Notes")) == ("+49 40 2222", "Prefers mail.")
    theirs.open(record)
    assert theirs.fact("Phone") == "+49 40 1111", "nothing is overwritten unseen"

    mine.press("Save")
    assert (mine.fact("Phone"), mine.fact("Notes")) == ("+49 40 2222", "Prefers mail.")


@with_and_without
def test_two_movers_of_one_card_lose_nothing(desk, javascript):
    first, second = desk("rep.north"), desk("head.sales")
    deal = add_deal(first)
    for one in (first, second):
        one.open("/deals/board")
        expect(one.card(deal)).to_have_count(1)
    move(first, deal, "Qualified", javascript)

    move(second, deal, "Proposal", javascript, status=409)
    second.sees(f"“{deal}” was changed in the meantime; it now stands in “Qualified”.")
    if javascript:
        expect(second.column("Qualified").locator("[data-card]").filter(has_text=deal)).to_have_count(1)
    for one in (first, second):
        one.open("/deals/board")
        expect(one.card(deal)).to_have_count(1)
        expect(one.column("Qualified").locator("[data-card]").filter(has_text=deal)).to_have_count(1)
    move(second, deal, "Proposal", javascript)


def move(one, deal, stage, javascript, status=200):
    if javascript:
        one.drag(deal, stage, status=status)
    else:
        one.move_by_form(deal, stage, status=status)


def test_the_order_within_a_column_is_kept(desk):
    rep = desk("rep.south")
    rep.open("/deals/board?owner=me")
    titles = rep.column("New").locator("[data-card]")
    ids = [one.get_attribute("data-id") for one in titles.all()]
    with rep.page.expect_response(is_move) as answer:
        titles.nth(2).drag_to(
            titles.nth(0), source_position={"x": 20, "y": 12}, target_position={"x": 60, "y": 4}
        )
    assert answer.value.status == 200
    rep.open("/deals/board?owner=me")
    assert [one.get_attribute("data-id") for one in titles.all()] == [ids[2], *ids[:2], *ids[3:]]


# --------------------------------------------------------------------------------------------- the door


@with_and_without
def test_a_wrong_password_opens_nothing(desk):
    visitor = desk("director", anew=True).open("/")
    visitor.page.locator(".who summary").click()
    visitor.press("Sign out", within=visitor.page.locator("header"))
    visitor.fill("User name", "director")
    visitor.fill("Password", "not demo")
    visitor.press("Sign in", status=401)
    visitor.sees("This name and password do not belong together.")
    assert visitor.value_of("User name") == "director"
    visitor.open("/")
    assert visitor.path == "/login/"


def test_a_desk_notices_what_the_policy_forbids(desk):
    rep = desk("rep.north").open("/")
    rep.page.evaluate("document.body.setAttribute('style', 'color: red')")
    rep.page.evaluate("new Image().src = 'http://127.0.0.1:9/elsewhere.png'")
    expect(rep.main).to_be_visible()
    noticed = " ".join(rep.forget())
    assert "style-src" in noticed and "img-src" in noticed
