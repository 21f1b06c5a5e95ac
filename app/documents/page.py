"""The HTML of a document, from a template in templates/: the house's own formats and texts, and no Flask."""

import gettext
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import formats

APP = Path(__file__).parent.parent


def page(template, *, language="en", **values):
    """Fill a template, such as “documents/invoice.html”, in this language; a missing value is an error."""
    return _environment(language).get_template(template).render(values)


@cache
def _environment(language):
    environment = Environment(
        loader=FileSystemLoader(APP / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    texts = gettext.translation("messages", APP / "translations", [language], fallback=True)
    environment.install_gettext_translations(texts, newstyle=True)
    environment.globals["language"] = language
    for name in ("money", "day", "number", "percent", "rate", "price"):
        environment.filters[name] = partial(getattr(formats, name), locale=language)
    return environment
