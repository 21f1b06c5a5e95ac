"""A real OpenID Connect provider (npm `oidc-provider`), and a browser that signs in at it."""

import json
import shutil
import subprocess
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import requests

from tests.peers import free_port, stop, wait_for

FOLDER = Path(__file__).with_name("openid")
CLIENT_ID, CLIENT_SECRET = "foyer", "only for these tests, too"
REDIRECT = "http://localhost/login/oidc/callback"  # where Flask's test client lives


class Provider:
    """The running provider, and the people it knows."""

    def __init__(self, port, file):
        self.issuer, self._file, self._people = f"http://127.0.0.1:{port}", file, {}

    def clear(self):
        self._people = {}
        self._write()

    def person(self, subject, **claims):
        """Somebody with these claims; said again, he has others."""
        self._people[subject] = {"email": f"{subject}@example.com", "email_verified": True, **claims}
        self._write()

    def _write(self):
        self._file.write_text(json.dumps(self._people))

    def settings(self, **more):
        """How Foyer is told of it."""
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            **more,
        }

    def sign_in(self, address, subject):
        """Go to this address of the provider, sign in and consent; returns the address that it leads back to."""
        browser = requests.Session()
        answer = browser.get(address, allow_redirects=False)
        for _ in range(12):
            if answer.is_redirect:
                target = urljoin(answer.url, answer.headers["Location"])
                if not target.startswith(self.issuer):
                    return target
                answer = browser.get(target, allow_redirects=False)
            else:
                form = _Form(answer.text)
                values = form.values | (
                    {"login": subject, "password": "any"} if "login" in form.names else {}
                )
                answer = browser.post(urljoin(answer.url, form.action), data=values, allow_redirects=False)
        raise AssertionError(
            f"the provider leads nowhere: {answer.url} {answer.status_code} {answer.text[:500]}"
        )


class _Form(HTMLParser):
    """The form on a page of the provider."""

    def __init__(self, text):
        super().__init__()
        self.action, self.values, self.names = None, {}, set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = values["action"]
        if tag == "input" and values.get("name"):
            self.names.add(values["name"])
            if values.get("type") == "hidden":
                self.values[values["name"]] = values.get("value", "")


@contextmanager
def running(folder):
    """The provider, until the end of the block."""
    node = shutil.which("node")
    assert node and (FOLDER / "node_modules").is_dir(), "no provider here: bin/bootstrap test installs it"
    port, people, log = free_port(), folder / "people.json", folder / "log"
    people.write_text("{}")
    with log.open("w") as output:
        command = [node, FOLDER / "start.mjs", str(port), CLIENT_ID, CLIENT_SECRET, REDIRECT, people]
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(port, server, log)
        yield Provider(port, people)
    finally:
        stop(server)
