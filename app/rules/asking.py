"""Who asks a list, an export or a bulk edit for rows, and when: what a filter needs to be understood."""

from datetime import UTC

from app.access import principal_of
from app.filters import Asker
from app.rules import custom_fields

FIRST_WEEKDAY = 0  # Monday, as ISO 8601 has it


def asker(session, *, today, zone=UTC):
    """The person of this session, on this day, with the custom fields that he sees."""
    known = {}

    def custom(entity):
        if entity not in known:
            fields = custom_fields.fields_for(session, entity)
            known[entity] = {one.name: custom_fields.column(one) for one in fields}
        return known[entity]

    return Asker(principal_of(session), today, zone, FIRST_WEEKDAY, custom)
