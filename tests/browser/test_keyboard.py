"""Real tasks by keyboard alone: nothing is clicked; what no Tab and no shortcut reaches is out of reach."""

import re
from itertools import count

from playwright.sync_api import expect

NUMBER = count(1)
MOST_STEPS = 80  # how often Tab is pressed in search of something before it counts as out of reach
FOCUSED = """() => {
  const one = document.activeElement;
  return (one?.getAttribute("aria-label") || one?.labels?.[0]?.innerText || one?.innerText || "").trim();
}"""


def tab_to(page, name, *, back=False, most=MOST_STEPS):
    """Press Tab until the focus stands on what is called like that."""
    page.wait_for_load_state()
    for _ in range(most):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if re.match(rf"{re.escape(name)}(\b|$)", page.evaluate(FOCUSED)):
            return
    raise AssertionError(f"“{name}” is out of reach; the focus stands on “{page.evaluate(FOCUSED)}”")


def go(page, *keys):
    """Press these keys, once the page listens to them."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)


# --------------------------------------------------------------------------------------------- on sheets and boards


def lift(page, title):
    """Go to a card's grip and lift the card."""
    tab_to(page, f"Carry “{title}” with the arrow keys", most=600)
    go(page, "Space")
    expect(page.locator("[data-board-says]")).to_contain_text(f"“{title}” is lifted: New")


def own_deal(rep):
    """A deal of one's own, in the first column."""
    deal = f"Lamps by keyboard {next(NUMBER)}"
    rep.open("/deals/new").fill("Name", deal)
    go(rep.page, "Enter")
    expect(rep.h1).to_contain_text(deal)
    return deal


def test_a_contact_is_added_from_anywhere(desk):
    rep = desk("rep.north").open("/reports/sales")
    page = rep.page
    tab_to(page, "Add something new")
    go(page, "Enter", "Tab")
    assert page.evaluate(FOCUSED) == "Contact"
    go(page, "Enter")
    expect(page.locator(".dialog #first_name")).to_be_focused()
    page.keyboard.type("Nora")
    go(page, "Tab")
    page.keyboard.type("Keyes")
    tab_to(page, "Company")
    page.keyboard.type("ashworth")
    go(page, "Enter")  # at once: what the house finds is chosen, whether its answer is there by now or not
    expect(page.locator(".dialog .ts-control .item")).to_have_text("Ashworth & Daughters Brewery (#8)")
    tab_to(page, "E-mail")
    page.keyboard.type("nora@keyes.example")
    go(page, "Enter")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(page.locator("#flashes")).to_contain_text("“Nora Keyes” was added.")
    expect(page).to_have_url(re.compile("/reports/sales$"))
    rep.open("/contacts/?q=Nora Keyes").follow("Keyes")
    assert rep.fact("Company") == "Ashworth & Daughters Brewery"


def test_a_deal_is_moved_and_the_move_is_told(desk):
    rep = desk("rep.north")
    deal = own_deal(rep)
    page = rep.open("/deals/board?owner=me").page
    lift(page, deal)
    go(page, "ArrowRight")
    expect(page.locator("[data-board-says]")).to_contain_text("Qualified")
    go(page, "Escape")
    expect(page.locator("[data-board-says]")).to_contain_text(f"“{deal}” is back in New")
    go(page, "Space", "ArrowRight", "Enter")
    expect(page.locator("[data-board-says]")).to_contain_text(f"“{deal}” now stands in Qualified")
    expect(page.locator("#flashes")).to_contain_text(f"“{deal}” moved to “Qualified”.")
    rep.open("/deals/board?owner=me")
    expect(rep.column("Qualified").locator("[data-card]").filter(has_text=deal)).to_have_count(1)


def test_a_deal_is_lost_with_a_reason(desk):
    rep = desk("rep.north")
    deal = own_deal(rep)
    page = rep.open("/deals/board?owner=me").page
    lift(page, deal)
    go(page, *["ArrowRight"] * 5)
    expect(page.locator("[data-board-says]")).to_contain_text("Lost")
    rep.expects(422)
    go(page, "Enter")
    expect(page.locator(".dialog #lost_reason")).to_be_focused()
    page.keyboard.type("Price")
    go(page, "Enter")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(rep.column("Lost").locator("[data-card]").filter(has_text=deal)).to_have_count(1)
    expect(page.locator("#flashes")).to_contain_text(f"“{deal}” is lost.")


def test_an_invoice_is_issued(desk):
    finance = desk("finance").open("/invoices/")
    page = finance.page
    draft = page.locator("tbody .row-link", has_text="#").first.get_attribute("href")
    finance.open(draft)
    tab_to(page, "Issue")
    go(page, "Enter")
    expect(page.locator("#flashes")).to_contain_text("Issued as")
    expect(finance.h1).to_contain_text("INV-")


def test_a_ticket_is_answered(desk):
    agent = desk("agent").open("/tickets/")
    page = agent.page
    agent.open(page.locator("tbody .row-link").first.get_attribute("href"))
    tab_to(page, "Write to the customer")
    page.keyboard.type("Please turn it off and on again.")
    tab_to(page, "Send")
    go(page, "Enter")
    agent.sees("Please turn it off and on again.")


# --------------------------------------------------------------------------------------------- on lists


def test_a_company_is_found_by_a_misspelt_name(desk):
    rep = desk("rep.north").open("/")
    go(rep.page, "Control+k")
    expect(rep.page.get_by_role("searchbox", name="Search, do, go")).to_be_focused()
    rep.page.keyboard.type("Ashwarth")
    expect(rep.page.locator(".found-row", has_text="Ashworth & Daughters Brewery")).to_be_visible()
    go(rep.page, "Enter")
    expect(rep.h1).to_have_text("Ashworth & Daughters Brewery")
    go(rep.page, "g", "d")
    expect(rep.page).to_have_url(re.compile("/deals/board$"))


def test_a_cell_of_a_list_is_changed_where_it_stands(desk):
    rep = desk("rep.north").open("/companies/?sort=-name")
    page = rep.page
    go(page, "j", "j")
    name = page.evaluate(FOCUSED)
    go(page, "e")
    field = page.locator("td .value-form input[name=name]")
    expect(field).to_be_focused()
    page.keyboard.type("Never kept")
    go(page, "Escape")
    expect(page.locator(".row-link:focus")).to_have_text(name)
    go(page, "e")
    expect(field).to_be_focused()
    page.keyboard.type(f"{name} & Sons")
    go(page, "Tab")  # saves, and goes on to the next value of the row
    expect(page.locator("td .value-form select[name=kind]")).to_be_focused()
    go(page, "Escape", "F5")
    expect(page.locator(".row-link", has_text=f"{name} & Sons")).to_be_visible()


def test_a_list_is_filtered_and_kept_as_a_view(desk):
    rep = desk("rep.north").open("/contacts/")
    page = rep.page
    go(page, "f")
    expect(page.get_by_label("Filter by")).to_be_visible()
    tab_to(page, "Filter by")
    page.keyboard.type("City")
    tab_to(page, "Next")
    go(page, "Enter")
    expect(page.get_by_label("Value")).to_be_visible()
    tab_to(page, "Value")
    page.keyboard.type("Leeds")
    go(page, "Enter")
    expect(page.locator(".chip")).to_contain_text("Leeds")
    tab_to(page, "Save view")
    go(page, "Enter")
    expect(page.get_by_label("For whom")).to_be_visible()
    tab_to(page, "Name")
    page.keyboard.type("Leeds")
    go(page, "Enter")
    expect(page.locator(".views [aria-current]")).to_have_text("Leeds")
    tab_to(page, "Remove filter")
    go(page, "Enter")
    expect(page.locator(".views [aria-current]")).to_have_text("Leeds, changed")


def test_a_deletion_is_taken_back(desk):
    rep = desk("rep.north").open("/activities/?kind.is=note")
    page = rep.page
    go(page, "j", "Enter")
    expect(page.locator(".beside")).to_be_visible()
    name = rep.h1.inner_text().strip()
    tab_to(page, "Delete")
    go(page, "Enter")
    expect(page.get_by_role("button", name=f"Delete “{name}”")).to_be_visible()
    tab_to(page, f"Delete “{name}”")
    go(page, "Enter")
    expect(page.locator("#flashes")).to_contain_text(f"“{name}” was deleted.")
    go(page, "z")
    expect(page.locator("#flashes")).to_contain_text("1 row was put back.")


def test_who_has_switched_shortcuts_off_keeps_those_with_ctrl(desk):
    rep = desk("rep.south").open("/account/preferences")
    page = rep.page
    tab_to(page, "Shortcuts on the keyboard")
    go(page, "Space", "Enter")
    expect(page.locator("#flashes")).to_contain_text("Your pages are as you like them.")
    expect(page.locator("html")).to_have_attribute("data-no-shortcuts", "")
    go(page, "g", "d", "?")
    expect(page).to_have_url(re.compile("/account/preferences$"))
    go(page, "Control+k")
    expect(page.locator("#palette")).to_be_visible()
