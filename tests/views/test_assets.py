"""Static files: one sheet, addresses that carry a version, packed once."""

import gzip
import json
import re
import struct

from app.views.assets import FOR_GOOD


def _addresses(page):
    return sorted(set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.get_data(as_text=True))))


def test_a_page_asks_for_few_files_each_kept_for_good(app):
    client = app.test_client()
    addresses = _addresses(client.get("/login/"))
    assert sum(one.endswith(".css") for one in addresses) == 1
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOR_GOOD), address


def test_every_address_within_the_one_sheet_leads_to_a_file(app):
    client = app.test_client()
    sheet = next(one for one in _addresses(client.get("/login/")) if one.endswith(".css"))
    named = re.findall(r"url\(([^)'\"]+\.woff2)\)", client.get(sheet).get_data(as_text=True))
    assert named
    for name in named:
        assert client.get(sheet.rpartition("/")[0] + "/" + name).mimetype == "font/woff2"


def test_a_file_is_packed_for_who_can_unpack_it_and_only_for_him(app):
    client = app.test_client()
    sheet = next(one for one in _addresses(client.get("/login/")) if one.endswith(".css"))
    plain, packed = client.get(sheet), client.get(sheet, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.data) == plain.data
    assert "Accept-Encoding" in packed.headers["Vary"] and "Accept-Encoding" in plain.headers["Vary"]


def test_a_page_of_an_older_version_still_finds_its_files_but_nobody_keeps_them(app):
    client = app.test_client()
    old = client.get("/static/000000000000/favicon.svg")
    assert (old.status_code, old.headers["Cache-Control"]) == (200, "no-cache")
    assert client.get("/static/000000000000/../../config.py").status_code == 404
    assert client.get("/static/000000000000/nothing.css").status_code == 404


def test_pages_are_packed_too(app):
    answer = app.test_client().get("/login/", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"<!doctype html>" in gzip.decompress(answer.data)


def test_foyer_can_be_installed_as_an_app(app):
    client = app.test_client()
    page = client.get("/login/").get_data(as_text=True)
    address = re.search(r'<link rel="manifest" href="([^"]+)"', page).group(1)
    answer = client.get(address)
    assert answer.mimetype == "application/manifest+json"
    manifest = json.loads(answer.get_data())
    assert (manifest["start_url"], manifest["display"]) == ("/", "standalone")
    sizes = set()
    for one in manifest["icons"]:
        picture = client.get(address.rpartition("/")[0] + "/" + one["src"])
        assert (picture.status_code, picture.mimetype) == (200, one["type"])
        if one["type"] == "image/png":
            width, height = struct.unpack(">II", picture.data[16:24])
            assert one["sizes"] == f"{width}x{height}"
        sizes.add(one["sizes"])
    assert {"192x192", "512x512"} <= sizes
