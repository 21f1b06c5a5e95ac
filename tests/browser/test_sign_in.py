"""The second factor in a real browser: an app, a security key over Chromium's own authenticator, no JavaScript."""

import pyotp
import pytest
from playwright.sync_api import expect

from tests.browser.desk import PATIENCE
from tests.client import REDIRECT


@pytest.fixture
def visitor(chromium, servers, engine, javascript):
    """A browser at the address that keys may be bound to, in which nobody has signed in."""
    address = servers(engine).replace("127.0.0.1", "localhost")
    context = chromium.new_context(base_url=address, java_script_enabled=javascript)
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda message: complaints.append(message.text) if "violates" in message.text else None
    )
    yield page
    context.close()
    assert not complaints, complaints


def _sign_in(page, username):
    page.goto("/login/")
    page.fill("#username", username)
    page.fill("#password", "demo")
    _press(page, "Sign in")


def _press(page, name):
    button = page.locator("main").get_by_role("button", name=name, exact=True).first
    button.wait_for()
    page.wait_for_load_state()
    with page.expect_navigation():
        button.click()


def _be_sure(page):
    page.goto("/second-factors/")
    page.fill("#password", "demo")
    _press(page, "Go on")


def _sign_out(page):
    token = page.locator('meta[name="csrf-token"]').get_attribute("content")
    answer = page.context.request.post("/logout/", form={"csrf_token": token}, max_redirects=0)
    assert answer.status in REDIRECT


def test_a_security_key_is_added_and_opens(visitor):
    keys = visitor.context.new_cdp_session(visitor)
    keys.send("WebAuthn.enable")
    kind = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": False}
    keys.send("WebAuthn.addVirtualAuthenticator", {"options": kind})
    _sign_in(visitor, "agent")
    _be_sure(visitor)
    visitor.fill("#key-name", "on my ring")
    _press(visitor, "Add a security key")
    expect(visitor.locator(".codes li")).to_have_count(10)
    visitor.goto("/second-factors/")
    expect(visitor.get_by_text("on my ring").first).to_be_visible()
    _sign_out(visitor)
    _sign_in(visitor, "agent")
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Second step")
    _press(visitor, "Use your security key")
    expect(visitor.locator('meta[name="user"]')).to_have_attribute("content", "agent")


@pytest.mark.parametrize("javascript", [False])
def test_an_app_is_set_up_and_asked_for_without_javascript(visitor):
    _sign_in(visitor, "marketer")
    _be_sure(visitor)
    _press(visitor, "Set it up")
    picture = visitor.locator(".enrolment img")
    assert picture.bounding_box()["width"] > 150, "the QR code is drawn under our policy"
    secret = visitor.locator("code.secret").inner_text().replace(" ", "")
    visitor.fill("#code", pyotp.TOTP(secret).now())
    _press(visitor, "Turn it on")
    code = visitor.locator(".codes li").first.inner_text()
    _sign_out(visitor)
    _sign_in(visitor, "marketer")
    visitor.fill("#code", code)
    _press(visitor, "Go on")
    expect(visitor.locator('meta[name="user"]')).to_have_attribute("content", "marketer")
