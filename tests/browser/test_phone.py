"""On a phone no page is wider than the screen; only boards and wide tables scroll sideways, in a frame of their own."""

import pytest

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}

# What reaches beyond the screen and is not inside a frame that scrolls.
TOO_WIDE = """() => {
  const inFrame = (one) => one.closest(".board-scroll, .table-scroll, .tabs, .path");
  const page = document.scrollingElement;
  const wide = [...document.querySelectorAll("body *")].filter(
    (one) => one.getBoundingClientRect().right > innerWidth + 1 && !inFrame(one) && !one.closest(".visually-hidden, datalist"));
  return page.scrollWidth > innerWidth ? [page.scrollWidth, ...wide.map((one) => one.outerHTML.slice(0, 120))] : [];
}"""

PAGES = {
    "rep.north": [
        "/",
        "/companies/",
        "/companies/1",
        "/companies/1/edit",
        "/contacts/?q=a",
        "/contacts/1",
        "/contacts/new",
        "/deals/",
        "/deals/board",
        "/deals/new",
        "/activities/",
        "/reports/sales",
    ],
    "agent": ["/", "/tickets/", "/tickets/board", "/tickets/1", "/tickets/1/edit", "/tickets/1/history"],
    "marketer": ["/contacts/", "/campaigns/", "/campaigns/1", "/campaigns/1/edit"],
    "finance": ["/invoices/", "/invoices/1", "/payments/", "/reports/sales", "/products/"],
    "director": ["/deals/1", "/deals/1/history", "/staff/"],
    "admin": ["/", "/staff/", "/staff/new", "/staff/2/edit", "/roles/", "/stages/", "/pipelines/1"],
}


@pytest.mark.parametrize("username", PAGES)
def test_no_page_is_wider_than_a_phone(desk, username):
    phone = desk(username, **PHONE)
    too_wide = {}
    for path in PAGES[username]:
        phone.open(path)
        for fold in phone.main.locator("details.fold > summary").all():
            fold.click()
            too_wide |= {f"{path}, open": found for found in [phone.page.evaluate(TOO_WIDE)] if found}
        too_wide |= {path: found for found in [phone.page.evaluate(TOO_WIDE)] if found}
    assert not too_wide


def test_an_error_page_and_the_door_fit_a_phone(desk):
    phone = desk("rep.north", **PHONE)
    for path, status in (("/contacts/999999", 404), ("/staff/new", 403), ("/companies/?sort=nothing", 400)):
        phone.open(path, status=status)
        assert not phone.page.evaluate(TOO_WIDE)
    phone.context.clear_cookies()
    phone.open("/login/")
    assert not phone.page.evaluate(TOO_WIDE)
