"""Jinja and Babel, spared what they do anew for every page: modules of components, and catalogues."""

from functools import lru_cache

from flask import g
from flask.templating import Environment
from flask_babel import Domain, get_translations
from jinja2 import Template
from markupsafe import Markup

from app.views.assets import asset


class Component(Template):
    """A template whose macros are made once: all of ours share the globals of one environment.

    Jinja compares those globals, name by name, each time that one template imports another.
    """

    def _get_default_module(self, ctx=None):
        if self._module is None:
            self._module = self.make_module()
        return self._module


class Templates(Environment):
    """The templates by their names: once one is loaded, its file is not asked for again."""

    def __init__(self, app, **options):
        super().__init__(app, **options)
        self.known = {}

    def get_template(self, name, parent=None, globals=None):
        found = self.known.get(name)
        if found is None:
            found = super().get_template(name, parent, globals)
            if not self.auto_reload:
                self.known[name] = found
        return found


class Catalogues(Domain):
    """The catalogues of all languages; which one a request speaks is found out once, until it speaks another."""

    def get_translations(self):
        # Babel forgets this attribute itself wherever the language changes: `force_locale`, `refresh`.
        spoken = getattr(g, "_flask_babel", None) if g else None
        if spoken is None:
            return super().get_translations()
        found = getattr(spoken, "babel_translations", None)
        if found is None:
            found = spoken.babel_translations = super().get_translations()
        return found


def _spoken():
    """The catalogue of the reader's language, by the shortest way: a page asks for it again and again."""
    spoken = g._get_current_object().get("_flask_babel")  # past the proxy, which looks anew for each attribute
    return getattr(spoken, "babel_translations", None) or get_translations()


def said(text):
    """`gettext` of a text without values, which is looked up once for each language."""
    return _said_in(_spoken(), text)


@lru_cache(maxsize=10_000)
def _said_in(translations, text):
    return translations.ugettext(text)


def say(text, **values):
    """`_` of the templates: a text in the reader's language, with these values escaped into it."""
    translations = _spoken()
    return _said(translations, text) % values if values else _said_plainly(translations, text)


@lru_cache(maxsize=10_000)
def _said(translations, text):
    return Markup(translations.ugettext(text))


@lru_cache(maxsize=10_000)
def _said_plainly(translations, text):
    return _said(translations, text) % {}


def install(app):
    """Have the app's pages drawn so; call once Babel is there, before any template is."""
    app.extensions["babel"].instance.domain_instance = Catalogues(
        domain=app.extensions["babel"].default_domain
    )
    # Of every view that derives from one of Flask-AppBuilder's, Flask would look among that library's templates, too.
    app.jinja_env.loader = app.jinja_loader
    app.jinja_env.template_class = Component
    app.jinja_env.globals.update(_=say, asset=asset)
