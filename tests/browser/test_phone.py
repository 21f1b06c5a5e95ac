"""On a phone no page is wider than the screen; only boards and wide tables scroll sideways, in a frame of their own."""

import pytest

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}

# What reaches beyond the screen and does not scroll in a frame of its own.
TOO_WIDE = """() => {
  const page = document.scrollingElement;
  if (page.scrollWidth <= innerWidth) return [];
  const isWide = (one) => one.getBoundingClientRect().right > innerWidth + 1;
  const isFramed = (one) => one.closest(".board-scroll, .table-scroll, .tabs, .path, .visually-hidden, datalist");
  const wide = [...document.querySelectorAll("body *")].filter((one) => isWide(one) && !isFramed(one));
  return [`${page.scrollWidth} of ${innerWidth} pixels`, ...wide.map((one) => one.outerHTML.slice(0, 120))];
}"""

# One of each make; `python -m tests.prove.faces` asks the same of every page.
PAGES = {
    "rep.north": [
        "/",
        "/companies/",
        "/companies/1",
        "/contacts/?q=a",
        "/contacts/new",
        "/deals/board",
        "/activities/",
        "/reports/sales",
    ],
    "agent": ["/tickets/", "/tickets/1", "/tickets/1/history"],
    "marketer": ["/campaigns/1"],
    "finance": ["/invoices/", "/invoices/1"],
    "director": ["/deals/1"],
    "admin": ["/", "/staff/2/edit", "/roles/", "/pipelines/1"],
}


@pytest.mark.parametrize("username", PAGES)
def test_no_page_is_wider_than_a_phone(desk, username):
    phone = desk(username, **PHONE)
    for path in PAGES[username]:
        phone.open(path)
        assert not phone.page.evaluate(TOO_WIDE), path
        for fold in phone.main.locator("details.fold > summary").all():
            fold.click()
            assert not phone.page.evaluate(TOO_WIDE), f"{path}: {fold.inner_text()}"
            phone.page.keyboard.press("Escape")


def test_an_error_page_and_the_door_fit_a_phone(desk):
    phone = desk("rep.north", **PHONE)
    for path, status in (("/contacts/999999", 404), ("/staff/new", 403), ("/companies/?sort=nothing", 400)):
        phone.open(path, status=status)
        assert not phone.page.evaluate(TOO_WIDE), path
    phone.context.clear_cookies()
    phone.open("/login/")
    assert not phone.page.evaluate(TOO_WIDE)
