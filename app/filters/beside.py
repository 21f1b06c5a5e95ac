"""The row beside another one in a list: the next or the one before, in the order in which the list has them."""

from dataclasses import replace

from sqlalchemy import and_, select

from app.filters.pages import _directed, _further, _key, conditions, settled


def beside(session, model, query, row, *, backwards=False):
    """The id of the row that stands next to this one in the list that `query` asks for, or None at its end.

    Rows without a value in the list's order stand at its end, in whichever direction it goes.
    """
    query = settled(session, model, replace(query, after=None, known={}))
    held = conditions(model, query)
    if backwards:
        query = replace(query, sort=query.column if query.is_downwards else f"-{query.column}")
    key, last = _key(model, query.column), (getattr(row, query.column), row.id)
    if query.column == "id":
        ways = [_further(query, None, model.id, model, last)]
    elif last[0] is None:
        ways = [and_(key.is_(None), _further(query, None, model.id, model, last))]
        if backwards:
            ways.append(key.is_not(None))
    else:
        ways = [and_(key.is_not(None), _further(query, key, model.id, model, last))]
        if not backwards:
            ways.append(key.is_(None))
    for way in ways:
        order = _directed(query, model.id) if query.column == "id" else _directed(query, key, model.id)
        found = session.scalar(select(model.id).where(*held, way).order_by(*order).limit(1))
        if found is not None:
            return found
    return None
