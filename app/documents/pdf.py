"""HTML to PDF. Nothing is fetched: a document sees our own fonts on this disk, no other file and no host.

WeasyPrint is loaded when the first document is drawn: it would cost every start of the house a second.
"""

import atexit
import gc
import re
import threading
from functools import cache
from pathlib import Path

TEMPLATES = Path(__file__).parent.parent / "templates" / "documents"
FONTS = Path(__file__).parent.parent / "static" / "vendor"
FONT_FILE = re.compile(r"inter-([a-z-]+)-(\d+)-normal\.woff2")

# What our fonts lack, and what stands for it: French writes thousands with the narrow space.
STAND_INS = str.maketrans({"\N{NARROW NO-BREAK SPACE}": "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}": "-"})

SCHEME = "foyer:"  # the only one a document may use: SCHEME and the name of a font file

# Pango's font map is not for two threads at once, and the garbage collector is one for all of them.
_drawing = threading.Lock()


class NotFetched(ValueError):
    """A document asked for something outside of itself."""


def render(html, *, base=None, styles=()):
    """Draw a page of HTML as a tagged PDF: the same HTML always gives the same bytes.

    `styles` names style sheets in templates/documents/ beside the common one; each is parsed once a process.
    `base` is what relative addresses in the HTML lead from, which are refused like all others.
    """
    from weasyprint import HTML

    with _drawing:
        page = HTML(string=html.translate(STAND_INS), base_url=base or SCHEME, url_fetcher=_fetcher())
        sheets = [_font_faces(), *(_style_sheet(name) for name in ("document.css", *styles))]
        collecting = gc.isenabled()
        gc.disable()  # it would look through a million young boxes again and again, and find none to free
        try:
            return page.write_pdf(stylesheets=sheets, font_config=_font_configuration(), pdf_tags=True)
        finally:
            if collecting:
                gc.enable()


def our_file(url):
    """The bytes behind an address of our own scheme; anything else is refused."""
    files = _our_files()
    name = url.removeprefix(SCHEME)
    if not url.startswith(SCHEME) or name not in files:
        raise NotFetched(f"documents fetch nothing: {url[:80]}")
    return files[name].read_bytes()


@cache
def _our_files():
    files = {path.name: path for path in FONTS.glob("fontsource-inter-*/*.woff2")}
    if not files:
        raise FileNotFoundError(f"no fonts for documents under {FONTS}")
    return files


@cache
def _fetcher():
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class OurFilesOnly(URLFetcher):
        """WeasyPrint asks it for every address in a document."""

        def fetch(self, url, headers=None):
            return URLFetcherResponse(url, our_file(url))

    return OurFilesOnly()


@cache
def _font_configuration():
    from weasyprint.text.fonts import FontConfiguration

    atexit.register(_font_configuration.cache_clear)  # while it can still remove its temporary folder
    return FontConfiguration()


@cache
def _font_faces():
    """Each alphabet is a family of its own: under one name WeasyPrint would mix up their glyphs."""
    faces = []
    for name in sorted(_our_files()):
        alphabet, weight = FONT_FILE.fullmatch(name).groups()
        family = "Inter" if alphabet == "latin" else f"Inter {alphabet}"
        faces.append(
            f"@font-face {{ font-family: '{family}'; font-weight: {weight}; src: url({SCHEME}{name}) }}"
        )
    return _parsed("".join(faces))


@cache
def _style_sheet(name):
    return _parsed((TEMPLATES / name).read_text("utf-8"))


def _parsed(text):
    from weasyprint import CSS

    return CSS(string=text, base_url=SCHEME, url_fetcher=_fetcher(), font_config=_font_configuration())
