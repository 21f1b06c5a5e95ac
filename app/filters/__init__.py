"""From the text of a URL to one condition, one order and one page of a list: what lists, exports, bulk work and stored
views ask with.

- `language` reads and writes the text, `fields` knows what a path means, `periods` what "last 30 days" is;
- `conditions` makes one scoped condition of it;
- `pages` reads a whole URL and fetches a page.
"""

from app.filters.beside import beside
from app.filters.conditions import Asker
from app.filters.fields import LARGEST_ID, OPERATORS_OF, coerce, natural, resolve
from app.filters.language import (
    OPERATORS,
    SINGLE,
    BadQuery,
    Condition,
    Group,
    Related,
    group,
    leaves,
    parts_of,
    read,
    write,
)
from app.filters.pages import (
    COUNT_UP_TO,
    PAGE_SIZES,
    Page,
    Query,
    conditions,
    count,
    cursor_after,
    encoded,
    fetch,
    from_text,
    most_counted,
    page,
    parameters_of,
    parse,
    select_ids,
    settled,
    sorts_of,
    text_of,
    verified,
)

__all__ = [
    "COUNT_UP_TO",
    "LARGEST_ID",
    "OPERATORS",
    "OPERATORS_OF",
    "PAGE_SIZES",
    "SINGLE",
    "Asker",
    "BadQuery",
    "Condition",
    "Group",
    "Page",
    "Query",
    "Related",
    "beside",
    "coerce",
    "conditions",
    "count",
    "cursor_after",
    "encoded",
    "fetch",
    "from_text",
    "group",
    "leaves",
    "most_counted",
    "natural",
    "page",
    "parameters_of",
    "parse",
    "parts_of",
    "read",
    "resolve",
    "select_ids",
    "settled",
    "sorts_of",
    "text_of",
    "verified",
    "write",
]
