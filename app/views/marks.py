"""The smallest marks of a page, drawn in Python: a list of fifty rows draws hundreds of them.

The components `icon`, `button`, `badge`, `avatar`, `not_visible`, `cell`, and heads and rows of `record_list`, say here
what they look like; whoever writes a template uses the components.
"""

import re
from functools import cache

from markupsafe import Markup, escape

from app.extensions import N_
from app.views import templating
from app.views.assets import asset
from app.views.templating import gettext, needs_escape, safe

SPRITE = "vendor/tabler-icons-3.51.0/sprite.svg"
_DASH = '<span class="none" aria-hidden="true">–</span>'


@cache
def _sprite():
    return asset(SPRITE)


@cache
def icon(name, large=False):
    """One icon of the sprite, hidden from screen readers; the words stand beside it."""
    look = "icon icon-large" if large else "icon"
    href = escape(f"{_sprite()}#{name}")
    return Markup(f'<svg class="{look}" aria-hidden="true" focusable="false"><use href="{href}"/></svg>')


_draw_icon = icon
_LOOKS = {
    "primary": "btn-primary",
    "ghost": "btn-ghost",
    "danger": "btn-danger",
    "danger-filled": "btn-danger btn-filled",
}


def button(
    label,
    href=None,
    kind="plain",
    icon=None,
    name=None,
    value=None,
    form=None,
    small=False,
    bare=False,
    dialog=False,
    keys=None,
):
    """A link that looks like a button, or a button that sends a form: see `components/button.html`."""
    look = f"btn {_LOOKS.get(kind, '')}{' btn-small' if small else ''}{' btn-only' if bare else ''}"
    shown = inside(label, icon, bare)
    if href:
        more = " data-dialog" if dialog else ""
        more += f' data-hotkey="{safe(keys)}"' if keys else ""
        return Markup(f'<a class="{look}" href="{safe(href)}"{more}>{shown}</a>')
    more = f' name="{safe(name)}" value="{"" if value is None else safe(value)}"' if name else ""
    more += f' form="{safe(form)}"' if form else ""
    return Markup(f'<button class="{look}" type="submit"{more}>{shown}</button>')


def inside(label, icon=None, bare=False):
    """What stands in a button: its icon and its words, these for screen readers alone where it is `bare`."""
    sign, words = (_draw_icon(icon) if icon else ""), safe(label)
    return Markup(f'{sign}<span class="visually-hidden">{words}</span>' if bare else f"{sign}{words}")


def badge(label, color=None):
    """A small word for a state, in one of the colors grey, accent, green, amber, red, blue, violet."""
    tint = f" pill-{escape(color)}" if color and color != "grey" else ""
    return Markup(f'<span class="pill{tint}">{escape(label)}</span>')


def avatar(name, initials=None, large=False, with_name=False):
    """The initials of a person; the tint follows from the name."""
    words = (name or "?").split() or ["?"]
    letters = initials or words[0][0] + (words[-1][0] if len(words) > 1 else "")
    look = f"face face-{len(name or '') % 5 + 1}{' face-large' if large else ''}"
    letters, name = escape(str(letters).upper()), escape(name)
    if with_name:
        face = f'<span class="{look}" aria-hidden="true">{letters}</span>'
        return Markup(f'<span class="person">{face} <span>{name}</span></span>')
    return Markup(f'<span class="{look}" role="img" aria-label="{name}" title="{name}">{letters}</span>')


def not_visible():
    """Stands where a link leads to a row beyond the reader's reach."""
    return Markup(f'<span class="not-visible">{icon("eye-off")}{escape(gettext("not visible"))}</span>')


def _check(said):
    if said["on"]:
        return f'{icon("check")}<span class="visually-hidden">{escape(gettext("yes"))}</span>'
    return f'{_DASH}<span class="visually-hidden">{escape(gettext("no"))}</span>'


def _link(said):
    href, label = said.get("href"), said["label"]
    label = label if type(label) is str and not needs_escape(label) else safe(label)
    if not href:
        return label
    return f'<a href="{safe(href) if needs_escape(href) else href}">{label}</a>'


def _figure(said):
    return f'<span class="figure">{safe(said["label"])}</span>'


def _tel(said):
    label = said["label"]
    label = label if type(label) is str and not needs_escape(label) else safe(label)
    return f'<a class="figure" href="tel:{label.replace(" ", "")}">{label}</a>'


def _mail(said):
    label = said["label"]
    label = label if type(label) is str and not needs_escape(label) else str(safe(label))
    return f'<a href="mailto:{label}">{label.replace("@", "@<wbr>", 1)}</a>'


def _web(said):
    label = safe(re.sub(r"(?i)^https?://(?=\S)", "", said["label"]))
    return f'<a href="{safe(said.get("href") or said["label"])}" rel="noreferrer noopener">{label}</a>'


_KINDS = {
    "badge": lambda said: badge(said["label"], said.get("color")),
    "person": lambda said: avatar(said["label"], said.get("initials"), with_name=True),
    "link": _link,
    "tel": _tel,
    "mail": _mail,
    "web": _web,
    "money": _figure,
    "date": _figure,
    "number": _figure,
}


def cell(value, lead_href=None):
    """One value of a list or sheet, as `components/cell.html` explains it."""
    return Markup(_cell(value, lead_href))


def _cell(value, lead_href=None):
    if type(value) is dict:
        kind = value["kind"]
        if kind == "hidden":
            return not_visible()
        if kind == "check":
            return _check(value)
        draw, label = _KINDS.get(kind), value.get("label")
    else:
        draw, label = None, value
    if label is None or label == "":
        return _DASH
    if lead_href:
        return f'<a class="row-link" href="{safe(lead_href)}">{safe(label)}</a>'
    return draw(value) if draw else safe(label)


def heads(columns, edit=None):
    """The heads of a list's table: {"key", "label", "align", "sort_href", "sort_dir", "edits"}, see `record_list`."""
    drawn = []
    for one in columns:
        label, align, way = safe(one["label"]), one.get("align"), one.get("sort_dir")
        more = f' data-name="{safe(one["key"])}"' if edit and one.get("edits") else ""
        more += f' class="{align}"' if align in ("end", "center") else ""
        more += f' aria-sort="{"ascending" if way == "asc" else "descending"}"' if way else ""
        if href := one.get("sort_href"):
            label = f'<a href="{safe(href)}">{label}{icon(_SORTED.get(way, "selector"))}</a>'
        drawn.append(f'\n      <th scope="col"{more}>{label}</th>')
    return Markup("".join(drawn))


_SORTED = {"asc": "arrow-up", "desc": "arrow-down"}


def options(pairs):
    """What a select offers: (value, words)."""
    return Markup("".join(f'<option value="{safe(value)}">{safe(words)}</option>' for value, words in pairs))


def hidden(pairs):
    """What a form takes along unseen: (name, value)."""
    return Markup("".join(f'<input type="hidden" name="{safe(name)}" value="{safe(one)}">' for name, one in pairs))


def rows(rows, columns):
    """The rows of a list's table: {"href", "cells", "id"}; the first cell opens the row. With "pick" on a row, a box
    to select it stands first."""
    heads = [_head_of_cell(one, place == 0) for place, one in enumerate(columns)]
    drawn, select = [], safe(templating.said(N_("Select %(name)s"))).split("%(name)s")
    for row in rows:
        drawn.append("<tr>" if row.get("pick") is None else f"<tr>{_box(row, select)}")
        href = row["href"]
        for value, (filled, empty) in zip(row["cells"], heads, strict=True):
            # A page has hundreds of these: the kinds that most of them are go by the shortest way.
            if value is None or value == "":
                drawn.append(empty)
            elif href is not None:
                shared = f" {badge(gettext('shared'), 'violet')}" if row.get("is_shared") else ""
                drawn.append(f"{filled}{_cell(value, href)}{shared}</td>")
                href = None  # the first cell alone opens the row
            elif type(value) is str:
                drawn.append(f"{filled}{safe(value) if needs_escape(value) else value}</td>")
            elif type(value) is dict and value["kind"] in _SHORT and value["label"]:
                drawn.append(f"{filled}{_SHORT[value['kind']](value)}</td>")
            else:
                drawn.append(f"{filled}{_cell(value)}</td>")
        drawn.append("</tr>")
    return Markup("".join(drawn))


_SHORT = {"link": _link, "tel": _tel, "mail": _mail}


def _head_of_cell(column, is_first):
    """How a filled cell of this column begins, and the whole of an empty one."""
    look = "lead" if is_first else ""
    align = f" {escape(column['align'])}" if column.get("align") in ("end", "center") else ""
    label = escape(column["label"])
    empty = f'<td class="{look}{align} none" data-label="{label}">{_DASH}</td>'
    return f'<td class="{look}{align}" data-label="{label}">', empty


def _box(row, select):
    name = row["cells"][0]
    name = safe(name["label"] if type(name) is dict else name)
    box = '<input type="checkbox" class="pick" name="id"'
    box = f'{box} value="{int(row["pick"])}" form="bulk" aria-label="{name.join(select)}">'
    return f'<td class="pick-cell">{box}</td>'


FILTERS = {"list_rows": rows, "list_heads": heads, "options": options, "hidden": hidden}
MARKS = {f"draw_{one.__name__}": one for one in (icon, button, inside, badge, avatar, not_visible, cell)}
