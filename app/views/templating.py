"""Jinja and Babel, spared what they do anew for every page: modules of components, and catalogues."""

import re
from functools import cache, lru_cache
from types import FunctionType, MethodType

from flask.globals import _cv_app
from flask.templating import Environment
from flask_babel import Domain, get_locale, get_translations
from jinja2 import Template
from jinja2.runtime import Context, Macro
from markupsafe import Markup, escape

from app.views.assets import asset


class Calls(Context):
    """What a template calls, called: Jinja asks of each anew, four times over, whether it wants the context."""

    PLAIN = (FunctionType, MethodType, type(lru_cache(len)))

    def call(self, called, /, *args, **kwargs):
        """Call a macro or a function of ours with what the template gives it; anything else is left to Jinja."""
        if type(called) is Macro:
            args = (self.eval_ctx, *args)
        elif type(called) not in self.PLAIN or hasattr(called, "jinja_pass_arg"):
            return super().call(called, *args, **kwargs)
        if kwargs:
            kwargs.pop("_block_vars", None)
            kwargs.pop("_loop_vars", None)
        return called(*args, **kwargs)


def safe(value):
    """`escape` for the many: most of what a page puts together is markup already, or holds nothing to escape, and to
    make `Markup` of it costs more than the look.
    """
    kind = type(value)
    if kind is Markup or (kind is str and not needs_escape(value)):
        return value
    return escape(value)


needs_escape = re.compile("[&<>\"']").search


class Component(Template):
    """A template whose macros are made once: all of ours share the globals of one environment.

    Jinja compares those globals, name by name, each time that one template imports another.
    """

    @classmethod
    def from_code(cls, environment, code, globals, uptodate=None):
        """The template of this code, which escapes by the shorter way, and has its globals in one place, not in two."""
        found = super().from_code(environment, code, dict(globals), uptodate)
        found.root_render_func.__globals__["escape"] = safe
        return found

    def _get_default_module(self, ctx=None):
        if self._module is None:
            self._module = self.make_module()
        return self._module


class Templates(Environment):
    """The templates by their names: once one is loaded, its file is not asked for again."""

    context_class = Calls

    def __init__(self, app, **options):
        super().__init__(app, **options)
        self.known = {}

    def getattr(self, obj, attribute):
        """Jinja's `obj.attribute`. What a mapping holds is looked for first as an attribute of it, which takes an
        exception each time; where it has none of that name, the shorter way comes to the same.
        """
        if type(obj) is dict and attribute not in _OF_MAPPINGS:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def get_template(self, name, parent=None, globals=None):
        found = self.known.get(name)
        if found is None:
            found = super().get_template(name, parent, globals)
            if not self.auto_reload:
                self.known[name] = found
        return found


_OF_MAPPINGS = frozenset(dir(dict))


class Catalogues(Domain):
    """The catalogues of all languages; which one a request speaks is found out once, until it speaks another."""

    def get_translations(self):
        found = self.cache.get((str(get_locale()), self.domain[0])) or super().get_translations()
        if (context := _cv_app.get(None)) is not None:
            # Babel forgets this attribute itself wherever the language changes: `force_locale`, `refresh`.
            context.g._flask_babel.babel_translations = found
        return found


def _spoken():
    """The catalogue of the reader's language, past the proxy `g`: a page asks for it again and again."""
    try:
        return _cv_app.get().g._flask_babel.babel_translations or _asked_for()
    except (LookupError, AttributeError):  # for the first time
        return _asked_for()


def _asked_for():
    context = _cv_app.get(None)
    if context is None:
        return get_translations()
    return context.app.extensions["babel"].instance.domain_instance.get_translations()


def said(text):
    """`gettext` of a text without values, which is looked up once for each language."""
    return _said_in(_spoken(), text)


def gettext(text, /, **values):
    """Flask-Babel's, by the same way."""
    found = said(text)
    return found % values if values else found


def locale():
    """The reader's language, as `app/formats.py` writes it."""
    try:
        return _named(_cv_app.get().g._flask_babel.babel_locale or get_locale())
    except (LookupError, AttributeError):
        return _named(get_locale())


@cache
def _named(locale):
    return str(locale or "en")


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
