"""The plan of the house, held by reading it: who imports whom, what guards each route, what each table declares."""

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from flask_appbuilder.security.sqla.models import Role
from sqlalchemy import select, text

from app import models, roles
from app.models import ENTITIES, INDEX_TABLES, PRIVATE_TABLES, SECURITY_TABLES, Row
from app.views import APIS, DOORS, MENU, MENU_MORE, OFF_MENU, base
from app.views.base import PageView
from app.views.records import RecordView
from tests import databases
from tests.prove import scope

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"

# --------------------------------------------------------------------------------------------- layers

# Who stands on whom: a module imports its own layer and those before it. `config` and `roles` stand on nothing.
LAYERS = [
    {"extensions", "roles", "formats"},
    {"models"},
    {
        *("security", "sessions", "throttle", "access", "wall", "policies", "ledger", "search", "custom", "filters"),
        *("bulk", "past", "undo", "in_hand", "bell", "blobs"),
    },
    {"identity"},
    {"rules"},
    {"figures", "documents", "exchange"},
    {"jobs"},
    {"views", "commands", "audit"},
    {"app"},
    {"run"},
]
ON_NOTHING = {"config", "roles", "formats"}
# `demo` and `upgrade` are verbs that need the whole application: they call its factory.
CALLS_THE_FACTORY = {"commands"}


@cache
def _modules():
    """(name, path) of every module of ours; `app/rules/deals.py` is app.rules.deals."""
    found = []
    for path in sorted([*APP.rglob("*.py"), ROOT / "config.py", ROOT / "run.py"]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def _part(name):
    """The layer's word for a module: app.rules.deals -> rules, app -> app, config -> config."""
    parts = name.split(".")
    return parts[1] if parts[0] == "app" and len(parts) > 1 else parts[0]


def _imports(path):
    """Everything of ours that a file imports, anywhere in it, as full names."""
    known = {name for name, _ in _modules()}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("app", "config", "run"))


def _level(part):
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def test_every_module_belongs_to_a_layer():
    parts = {_part(name) for name, _ in _modules()}
    assert parts <= set(chain(*LAYERS)) | ON_NOTHING


@pytest.mark.parametrize("name, path", _modules())
def test_a_module_imports_only_what_it_stands_on(name, path):
    part = _part(name)
    for imported in _imports(path):
        other = _part(imported)
        if other == part or (other == "config" and part in ("app", "run", "commands", "views")):
            continue
        assert part not in ON_NOTHING, f"{name} imports {imported}, but stands on nothing"
        if other == "app" and part in CALLS_THE_FACTORY:
            continue
        assert _level(other) <= _level(part), f"{name} imports {imported}, which stands above it"


@pytest.mark.parametrize("name, path", [one for one in _modules() if _part(one[0]) in ("rules", "figures")])
def test_rules_and_figures_know_neither_flask_nor_the_clock(name, path):
    source = path.read_text()
    for word in ("flask", "datetime.now(", "date.today(", "utcnow(", ".commit()"):
        assert word not in source, f"{name} says {word}"


KNOW_FAB = {
    "app/extensions.py",
    "app/models.py",
    "app/views/base.py",
}  # the database, the base class, the tamer
ACCOUNTS = "flask_appbuilder.security.sqla.models"  # the tables of accounts
KNOW_ACCOUNTS = {"app/security.py", "app/identity", "app/views/settings.py", "app/commands", "app/exchange/recipes"}


@pytest.mark.parametrize("name, path", _modules())
def test_only_a_few_modules_know_flask_appbuilder(name, path):
    where = path.relative_to(ROOT).as_posix()
    if where in KNOW_FAB:
        return
    known = set(re.findall(r"(?:from|import) (flask_appbuilder[\w.]*)", path.read_text()))
    is_about_accounts = any(where.startswith(one) for one in KNOW_ACCOUNTS)
    assert known <= ({ACCOUNTS} if is_about_accounts else set())


# --------------------------------------------------------------------------------------------- routes

VIEWS = [*(entry.view for entry in (*MENU, *MENU_MORE)), *OFF_MENU]


def test_every_route_is_guarded(app):
    assert scope.unguarded_routes(app) == []


def test_every_guard_asks_for_a_verb_that_there_is(app):
    for rule in app.url_map.iter_rules():
        function = app.view_functions[rule.endpoint]
        if rule.endpoint in scope.OPEN_ROUTES:
            continue
        view = _view_of(app, rule.endpoint)
        if function.verb is None:
            assert rule.endpoint == "HomeView.index", f"{rule.rule} asks for a sign-in only"
        else:
            assert function.verb in roles.VERBS[view.entity], rule.rule


def _view_of(app, endpoint):
    name = endpoint.split(".")[0]
    return next(view for view in app.appbuilder.baseviews if type(view).__name__ == name)


def test_what_writes_asks_for_more_than_seeing(app):
    for rule in app.url_map.iter_rules():
        if rule.methods & {"POST", "PUT", "PATCH", "DELETE"} and rule.endpoint not in scope.OPEN_ROUTES:
            assert app.view_functions[rule.endpoint].verb not in (None, "see"), rule.rule


def test_no_deed_goes_by_get(app):
    """What changes something is a verb of its own, and a POST; a form to fill in first may be opened."""
    deeds = {
        "delete",
        "logout",
        "win",
        "reopen",
        "issue",
        "discard",
        "draft",
        "solve",
        "reply",
        "assign",
        "done",
    }
    deeds |= {"log", "move", "stage", "lines", "payments", "members", "add-members"}
    for rule in app.url_map.iter_rules():
        words = set(rule.rule.strip("/").split("/")[1:])
        if words & deeds and not rule.rule.startswith("/payments"):
            assert "GET" not in rule.methods, rule.rule


def test_addresses_are_plural_and_in_kebab_case(app):
    singular = {"staff", "login", "logout", "account", "static", "api", "trash", "why", "search", "styleguide"}
    for rule in app.url_map.iter_rules():
        words = [word for word in rule.rule.strip("/").split("/") if word and "<" not in word]
        for word in words:
            assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", word), rule.rule
        if words:
            assert words[0] in singular or words[0].endswith("s"), rule.rule


def test_every_view_stands_in_the_site_map(app):
    """A class of view that is not in MENU, MENU_MORE or OFF_MENU is forgotten, or hidden."""
    known = {*VIEWS, *DOORS, *APIS}
    for kind in (RecordView, PageView, base.ApiView):
        for view in _kinds_of(kind):
            if view.__module__.startswith("app.views.") and not view.__subclasses__():
                assert view in known, view
    registered = {type(view) for view in app.appbuilder.baseviews}
    ours = {view for view in registered if view.__module__.startswith("app.")}
    assert ours == known
    assert registered == ours, "a page of FAB's is reachable"


def _kinds_of(kind):
    for one in kind.__subclasses__():
        yield one
        yield from _kinds_of(one)


def test_no_template_of_fab_is_rendered(app):
    """Every template that a view names is ours, and extends ours."""
    folder = APP / "templates"
    named = set()
    for _, path in _modules():
        named |= set(re.findall(r'"([a-z_/]+/[a-z_0-9]+\.html)"', path.read_text()))
    for path in folder.rglob("*.html"):
        named |= set(re.findall(r'{% (?:extends|include|from) "([^"]+)"', path.read_text()))
    assert named
    for name in named:
        assert (folder / name).exists(), f"{name} is not ours"
        if not name.startswith("documents/"):  # papers have an environment of their own
            assert app.jinja_env.get_template(name).filename.startswith(str(folder)), name


@pytest.mark.parametrize("path", sorted((APP / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_a_template_holds_no_inline_style_or_script(path):
    source = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", source)
    if "documents" not in path.parts:  # papers carry their own sheet
        assert not re.search(r"<style", source)
        assert not re.search(r"\sstyle=", source)
    assert not re.search(r"\son[a-z]+=", source)
    assert "|safe" not in source.replace(" ", "") or "documents" in path.parts, "unescaped text"


# --------------------------------------------------------------------------------------------- roles


def test_no_role_pattern_is_configured(app):
    """FAB matches FAB_ROLES unanchored: "Company" would open "CompanySecret"."""
    assert not app.config.get("FAB_ROLES")
    assert not app.config.get("FAB_ROLES_MAPPING")
    assert app.config["FAB_UPDATE_PERMS"] is False


@databases.on_both_engines
def test_fabs_tables_hold_exactly_the_table_of_roles(session):
    held = {
        role.name: {(pair.permission.name, pair.view_menu.name) for pair in role.permissions}
        for role in session.scalars(select(Role))
    }
    written = {
        name: {
            (f"can_{verb}", grant.entity)
            for grant in (*roles.EVERYONE, *roles.grants_of(name))
            for verb in grant.verbs
        }
        for name in roles.ROLES
    }
    assert {name: pairs for name, pairs in held.items() if pairs} == written
    assert set(held) - set(written) <= {"Admin", "Public"}, "FAB's own roles hold nothing"


def test_every_grant_names_entities_verbs_and_conditions_that_there_are():
    from app.access import CONDITIONS

    for name in roles.ROLES:
        for grant in roles.grants_of(name):
            assert set(grant.verbs) <= set(roles.VERBS[grant.entity]), (name, grant)
            assert grant.condition is None or (grant.entity, grant.condition) in CONDITIONS, (name, grant)


# --------------------------------------------------------------------------------------------- tables


def test_every_table_declares_who_sees_its_rows():
    assert scope.undeclared_tables() == []
    for table in Row.metadata.tables.values():
        if table.name in ENTITIES:
            assert ENTITIES[table.name].__sight__ in ("scoped", "reference"), table.name
        else:
            judged = SECURITY_TABLES | INDEX_TABLES | PRIVATE_TABLES
            assert table.name in judged, f"{table.name} came with an update and is not judged yet"


def test_scoped_tables_say_by_what():
    for name, model in ENTITIES.items():
        if model.__sight__ != "scoped" or model is models.ChangeSet:
            continue
        if model.__through__ is None:
            assert {"department_id", "owner_id"} <= set(model.__table__.c.keys()), name
        elif model.__through__ in ENTITIES:
            assert f"{model.__through__}_id" in model.__table__.c, name
        else:
            assert model.__through__ in ("record", "root", "pair"), name


def test_no_two_classes_share_a_table():
    names = [mapper.class_.__tablename__ for mapper in Row.registry.mappers]
    assert len(names) == len(set(names))


def test_no_link_table_is_bare():
    """A `secondary` table could be selected without its scope: links are mapped classes."""
    for mapper in Row.registry.mappers:
        if mapper.class_.__tablename__ in ENTITIES:
            assert all(relation.secondary is None for relation in mapper.relationships), mapper


def test_every_column_has_a_name_for_people():
    for model in ENTITIES.values():
        for column in model.__table__.c:
            assert column.info.get("label") or column.info.get("custom"), f"{column} has no label"


def test_names_tell_the_kind():
    from sqlalchemy import Date, DateTime, ForeignKeyConstraint

    for model in ENTITIES.values():
        for column in model.__table__.c:
            kind = getattr(column.type, "impl", column.type)
            if isinstance(kind, Date):
                assert column.name.endswith("_on") or column.name == "birth_date", column
            if isinstance(kind, DateTime):
                assert column.name == "at" or column.name.endswith("_at"), column
            if column.foreign_keys and column.name != "id":
                assert column.name.endswith("_id"), column
        assert all(
            isinstance(one, ForeignKeyConstraint) or one.name != "" for one in model.__table__.constraints
        )


def test_ids_are_never_given_twice(session):
    """On SQLite the id of a deleted last row would go to the next: its history would become another's past."""
    rows = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all()
    without = {name for name, statement in rows if statement and "AUTOINCREMENT" not in statement}
    assert without & set(ENTITIES) == {"staff"}  # whose id is that of the account


def test_every_verb_and_entity_of_the_table_of_roles_has_a_word():
    from app.views import words

    assert set(words.ENTITIES) == set(roles.VERBS)
    assert set(words.VERBS) == {verb for verbs in roles.VERBS.values() for verb in verbs}
    from app.access import CONDITIONS

    assert set(words.CONDITIONS) == {name for _, name in CONDITIONS}
