"""Reading a PDF of ours back."""

import io

from pypdf import PdfReader
from pypdf.generic import NameObject


def pages_of(pdf):
    """The text of each page, in single spaces."""
    return [" ".join(_readable(page).extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages]


def _readable(page):
    """A page whose text pypdf understands.

    Where a font lacks a character, WeasyPrint writes a character map into the PDF that hides it. pypdf does not
    read such maps and takes two bytes for two letters; the map that leads back to the text knows them all the same.
    """
    for font in page["/Resources"].get("/Font", {}).values():
        font = font.get_object()
        if font["/Subtype"] == "/Type0" and not isinstance(font["/Encoding"], str):
            font[NameObject("/Encoding")] = NameObject("/Identity-H")
    return page
