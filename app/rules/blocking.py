"""Which records are worth comparing: keys that records of one person are likely to share in spite of slips.

Comparing everything with everything is quadratic. Records are compared only where they share one of several keys, each
built of parts that one slip cannot all damage (blocking in several passes: M. Bilenko et al., ICDM 2006; P. Christen,
"A Survey of Indexing Techniques", TKDE 24, 2012). A block that is too large is put in order and each record compared
with its neighbours only (M. Hernández, S. Stolfo, SIGMOD 1995), so the pairs stay linear in the records.
"""

from itertools import pairwise

from app.rules.likeness import skeleton

LARGE = 12  # records in a block that are all compared with each other
NEIGHBOURS = 6  # compared with each in a block that is larger


def keys_of_person(one):
    """The keys of a prepared contact: (pass, text)."""
    names = sorted(skeleton(word) for word in (one.first, one.last) if word)
    house = f"{one.number} {one.postal}" if one.number and one.postal else ""
    found = [
        ("born", one.born),
        ("names", " ".join(names) if len(names) == 2 else ""),
        ("house", house),
        ("road", f"{one.number} {skeleton(one.street)}" if one.number and one.street else ""),
        ("lane", f"{skeleton(one.street)} {one.postal}" if one.street and one.postal else ""),
        ("ward", f"{skeleton(one.street)} {skeleton(one.city)}" if one.street and one.city else ""),
        ("gate", f"{one.number} {skeleton(one.city)}" if one.number and one.city else ""),
        ("more", f"{skeleton(one.more)} {one.city[:4]}" if one.more and one.city else ""),
        ("yard", f"{skeleton(one.more)} {one.postal or one.number}" if one.more else ""),
        ("age", f"{one.born[:4]} {one.postal}" if one.born and one.postal else ""),
        ("feast", f"{one.born[4:]} {one.number} {one.postal[:1]}" if one.born and one.number else ""),
        *(("place", f"{name} {one.postal}") for name in names if one.postal),
        *(("town", f"{name} {skeleton(one.city)}") for name in names if one.city),
        *(("door", f"{name} {one.number} {skeleton(one.street)[:4]}") for name in names if one.number),
        *(("year", f"{name} {one.born[:4]}") for name in names if one.born),
        *(("day", f"{name} {one.born[4:]}") for name in names if one.born),
        *(("work", f"{name} {one.company}") for name in names if one.company),
        *(("mail", mail) for mail in one.mails),
        *(("phone", number[-7:]) for number in one.phones),
    ]
    if len(names) == 1 and not (one.born or one.city or one.mails or one.phones):
        found.append(("bare", names[0]))
    return [(kind, text) for kind, text in found if text]


def keys_of_firm(one):
    """The keys of a prepared company: (pass, text)."""
    words = one.name.split()
    houses = {mail.partition("@")[2] for mail in one.mails} | {one.site}
    found = [
        ("name", skeleton(one.name)),
        *(("word", f"{skeleton(word)} {one.city[:3]}") for word in words if len(word) > 3),
        *(("two", " ".join(sorted(map(skeleton, pair)))) for pair in pairwise(words)),
        ("start", f"{one.name[:5]} {one.postal}" if one.postal else ""),
        (
            "road",
            f"{one.number} {skeleton(one.street)} {one.postal[:3]}" if one.number and one.street else "",
        ),
        ("vat", one.vat),
        *(("house", house) for house in houses),
        *(("phone", number[-7:]) for number in one.phones),
    ]
    return [(kind, text) for kind, text in found if text]


def order_of(one):
    """The text by which the records of a large block are put in order."""
    if hasattr(one, "last"):
        return f"{one.last} {one.first} {one.city} {one.street} {one.born}"
    return f"{one.name} {one.city} {one.street}"


def pairs_within(block):
    """The pairs of a block (ids, already in order when it is large) that are compared."""
    if len(block) <= LARGE:
        for at, one in enumerate(block):
            for other in block[at + 1 :]:
                yield (one, other) if one < other else (other, one)
        return
    for at, one in enumerate(block):
        for other in block[at + 1 : at + 1 + NEIGHBOURS]:
            yield (one, other) if one < other else (other, one)
