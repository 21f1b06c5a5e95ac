"""The renderer: our own fonts, nothing fetched, the same bytes each time."""

import gc
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from pypdf import PdfReader

from app import formats
from app.audit.papers import pages_of
from app.documents import pdf
from tests.documents import paper

ALPHABETS = "Straße Łódź Škoda Вологодский Ελληνική 1,234.50 €"


@pytest.fixture
def asked():
    """A web server of ours, and the list of what it was asked for."""
    seen = []

    class Ears(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"body { color: red }")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Ears)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


PLANTED = """
<html><head>
<base href="{host}/base/">
<link rel="stylesheet" href="{host}/sheet.css">
<link rel="attachment" href="{file}">
<style>
@import url({host}/import.css);
@font-face {{ font-family: Other; src: url({host}/font.woff2) }}
body {{ background: url({host}/background.png); font-family: Other }}
li {{ list-style-image: url({host}/bullet.png) }}
p::after {{ content: url({file}) }}
</style></head><body>
<img src="{host}/image.png"><img src="{file}"><img src="relative.png"><img src="//{bare}/scheme.png">
<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E">
<object data="{file}"></object><embed src="{host}/embed.svg"><iframe src="{file}"></iframe>
<svg><image href="{host}/inside.svg"/><use href="{host}/use.svg#a"/></svg>
<ul><li>Bullet</ul><p>Text
</body></html>
"""


def test_a_page_becomes_a_tagged_pdf():
    drawn = pdf.render("<html lang=en><title>Paper</title><h1>Hello</h1>")
    assert drawn.startswith(b"%PDF-")
    assert pages_of(drawn) == ["Hello"]
    assert "/StructTreeRoot" in PdfReader(io.BytesIO(drawn)).root_object


def test_nothing_is_fetched_from_anywhere(asked, tmp_path):
    host, seen = asked
    canary = tmp_path / "canary.svg"
    canary.write_text('<svg xmlns="http://www.w3.org/2000/svg"><text y="20">CANARY</text></svg>')
    html = PLANTED.format(host=host, bare=host.removeprefix("http://"), file=canary.as_uri())
    drawn = pdf.render(html)
    assert seen == []
    assert "CANARY" not in " ".join(pages_of(drawn))
    assert PdfReader(io.BytesIO(drawn)).attachments == {}


@pytest.mark.parametrize(
    "url",
    [
        "foyer:../../../../etc/passwd",
        "foyer:fontsource-inter-5.3.0/inter-latin-400-normal.woff2",
        "foyer:/etc/passwd",
        "foyer:LICENSE",
        "foyer:",
        "FOYER:inter-latin-400-normal.woff2",
        "file:///etc/passwd",
        "inter-latin-400-normal.woff2",
        "http://127.0.0.1/",
        "data:,x",
    ],
)
def test_only_the_names_of_our_fonts_are_known(url):
    with pytest.raises(pdf.NotFetched):
        pdf.our_file(url)


def test_our_fonts_are_found():
    assert pdf.our_file("foyer:inter-latin-400-normal.woff2").startswith(b"wOF2")


def test_every_alphabet_has_its_letters():
    drawn = pdf.render(f"<p>{ALPHABETS}<p><b>{ALPHABETS}</b>")
    assert pages_of(drawn) == [f"{ALPHABETS} {ALPHABETS}"]
    faces = {"Inter", "Inter-latin-ext", "Inter-cyrillic", "Inter-greek"}
    assert paper.fonts(drawn) == faces | {f"{face}-Bold" for face in faces}


def test_the_same_page_gives_the_same_bytes():
    html = f"<html lang=en><title>Paper</title><p>{ALPHABETS}"
    assert pdf.render(html) == pdf.render(html)


def test_a_house_without_any_font_draws_the_same(tmp_path):
    html = f"<html lang=en><title>Paper</title><p>{ALPHABETS}<p>{formats.money(12345.6, 'EUR', 'fr')}"
    bare = tmp_path / "fonts.conf"
    bare.write_text(f"<?xml version='1.0'?><fontconfig><cachedir>{tmp_path}</cachedir></fontconfig>")
    source = f"import sys; from app.documents import pdf; sys.stdout.buffer.write(pdf.render({html!r}))"
    drawn = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "FONTCONFIG_FILE": str(bare)},
        capture_output=True,
        check=True,
    )
    assert drawn.stdout == pdf.render(html)


def test_several_threads_may_draw_at_once():
    html = f"<html lang=en><title>Paper</title><p>{ALPHABETS}"
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: pdf.render(html), range(8))) == {pdf.render(html)}


def test_the_garbage_collector_works_again_afterwards():
    pdf.render("<p>Paper")
    assert gc.isenabled()


def test_nothing_is_loaded_before_the_first_document():
    source = "import sys, app.documents.store; print('weasyprint' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True)
    assert seen.stdout.strip() == "False"
