"""How much two contacts, or two companies, look like one: a score of 0 to 100 that says what it comes from.

The model is Fellegi and Sunter's ("A Theory for Record Linkage", JASA 64, 1969): each thing that two records can be
compared by falls into a level ("the same", "nearly", "another"), each level weighs the logarithm of how much likelier
it is between two records of one person than between records of two, and the weights add up. Fields lean on each
other (people of one household share name, street and phone), so the weights are fitted together, by logistic
regression over the levels, instead of being counted field by field; `tests/prove/duplicates.py` makes up the people
they are fitted on and prints the tables below anew (`--learn`). What is missing on either side weighs nothing.

Pure: texts in, a score out; no session. Records are prepared once (`person`, `firm`) and compared many times.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import OSA, JaroWinkler

from app.extensions import N_
from app.search import fold

SAME, CLOSE, NEAR, FAR = "same", "close", "near", "far"
RANK = {SAME: 3, CLOSE: 2, NEAR: 1, FAR: 0}

# What was compared, at which level -> what it weighs, in bits (a factor of two each). Printed by `--learn`.
CONTACT_WEIGHTS = {
    ("first_name", "same"): 3.2, ("first_name", "close"): 3.1, ("first_name", "near"): 2.0,
    ("first_name", "far"): -2.1, ("first_name", "short"): 4.7,
    ("last_name", "same"): 0.2, ("last_name", "close"): 0.2, ("last_name", "near"): 0.1,
    ("last_name", "far"): -2.7,
    ("names", "swapped"): -0.9, ("names", "both"): 0.7,
    ("birth_date", "same"): 5.9, ("birth_date", "close"): 2.9, ("birth_date", "near"): 0.4,
    ("birth_date", "far"): -5.0,
    ("person", "another"): -2.8, ("person", "unsure"): -3.2,
    ("street", "same"): 1.6, ("street", "close"): 1.6, ("street", "near"): 1.6, ("street", "far"): -1.6,
    ("house_number", "same"): 0.3, ("house_number", "close"): -0.7, ("house_number", "far"): -2.4,
    ("address_more", "same"): 2.8, ("address_more", "close"): 2.8, ("address_more", "near"): 2.6,
    ("address_more", "far"): -2.6,
    ("city", "same"): 1.1, ("city", "close"): 1.1, ("city", "near"): 1.1, ("city", "far"): -1.6,
    ("postal_code", "same"): 1.0, ("postal_code", "close"): 1.0, ("postal_code", "far"): -0.8,
    ("region", "same"): 2.7, ("region", "close"): 2.7, ("region", "far"): 0.0,
    ("country", "same"): 0.0, ("country", "far"): -0.9,
    ("email", "same"): 6.7, ("email", "close"): 2.4, ("email", "shared"): 3.8,
    ("email", "domain"): -6.1, ("email", "far"): -3.4,
    ("phone", "same"): 1.7, ("phone", "close"): 0.9, ("phone", "far"): -3.4,
    ("company", "same"): 0.0, ("company", "far"): -0.8,
}  # fmt: skip
CONTACT_BIAS = -3.1
# What is compared under another name than its column's -> the columns it tells of.
COMPARED_BY = {
    "house_number": ("street",),
    "address_more": ("street",),
    "phone": ("phone", "mobile"),
    "person": ("birth_date",),
}
COMPANY_WEIGHTS = {
    ("street", "same"): 0.3, ("street", "close"): 0.3, ("street", "near"): 0.2, ("street", "far"): -1.8,
    ("house_number", "same"): 0.3, ("house_number", "close"): 0.3, ("house_number", "far"): 0.0,
    ("city", "same"): 2.0, ("city", "close"): 2.0, ("city", "near"): -0.4, ("city", "far"): -0.8,
    ("postal_code", "same"): 0.6, ("postal_code", "close"): 0.2, ("postal_code", "far"): -2.1,
    ("region", "same"): 0.0, ("region", "far"): -0.0,
    ("country", "same"): 0.6, ("country", "far"): -5.2,
    ("email", "same"): 0.2, ("email", "close"): -0.4, ("email", "shared"): 1.2,
    ("email", "domain"): 5.6, ("email", "far"): -1.8,
    ("phone", "same"): 6.6, ("phone", "close"): 3.5, ("phone", "far"): -2.7,
    ("name", "same"): 2.6, ("name", "close"): 2.0, ("name", "near"): -5.1, ("name", "part"): 2.7,
    ("name", "far"): -6.7,
    ("legal_form", "same"): 2.0, ("legal_form", "far"): -2.0,
    ("vat_id", "same"): 8.9, ("vat_id", "close"): 2.2, ("vat_id", "far"): -12.6,
    ("website", "same"): 0.8, ("website", "far"): -1.6,
}  # fmt: skip
COMPANY_BIAS = 0.4

# What was compared, at which level -> the sentence that people read.
SENTENCES = {
    ("first_name", SAME): N_("The first names are the same."),
    ("first_name", CLOSE): N_("The first names are nearly the same."),
    ("first_name", NEAR): N_("The first names resemble each other."),
    ("first_name", FAR): N_("The first names differ."),
    ("first_name", "short"): N_("One first name is a short form of the other."),
    ("last_name", SAME): N_("The last names are the same."),
    ("last_name", CLOSE): N_("The last names are nearly the same."),
    ("last_name", NEAR): N_("The last names resemble each other."),
    ("last_name", FAR): N_("The last names differ."),
    ("names", "swapped"): N_("First and last name stand the other way round."),
    ("names", "both"): N_("First and last name fit together."),
    ("birth_date", SAME): N_("Born on the same day."),
    ("birth_date", CLOSE): N_("The dates of birth differ by one slip."),
    ("birth_date", NEAR): N_("The dates of birth differ by two slips."),
    ("birth_date", FAR): N_("The dates of birth differ."),
    ("person", "another"): N_("Neither the first name nor the date of birth fits."),
    ("person", "unsure"): N_("The first names differ, and no date of birth says otherwise."),
    ("street", SAME): N_("The same street."),
    ("street", CLOSE): N_("Nearly the same street."),
    ("street", NEAR): N_("Streets that resemble each other."),
    ("street", FAR): N_("Different streets."),
    ("house_number", SAME): N_("The same house number."),
    ("house_number", CLOSE): N_("Nearly the same house number."),
    ("house_number", FAR): N_("Different house numbers."),
    ("address_more", SAME): N_("The same addition to the address."),
    ("address_more", CLOSE): N_("Nearly the same addition to the address."),
    ("address_more", NEAR): N_("Additions to the address that resemble each other."),
    ("address_more", FAR): N_("Different additions to the address."),
    ("city", SAME): N_("The same city."),
    ("city", CLOSE): N_("Nearly the same city."),
    ("city", NEAR): N_("Cities that resemble each other."),
    ("city", FAR): N_("Different cities."),
    ("postal_code", SAME): N_("The same postal code."),
    ("postal_code", CLOSE): N_("Nearly the same postal code."),
    ("postal_code", FAR): N_("Different postal codes."),
    ("region", SAME): N_("The same region."),
    ("region", CLOSE): N_("Nearly the same region."),
    ("region", FAR): N_("Different regions."),
    ("country", SAME): N_("The same country."),
    ("country", FAR): N_("Different countries."),
    ("email", SAME): N_("The same e-mail address."),
    ("email", CLOSE): N_("Nearly the same e-mail address."),
    ("email", "shared"): N_("The same e-mail address, one that many share."),
    ("email", "domain"): N_("Different mailboxes of the same domain."),
    ("email", FAR): N_("Different e-mail addresses."),
    ("phone", SAME): N_("The same phone number."),
    ("phone", CLOSE): N_("Nearly the same phone number."),
    ("phone", FAR): N_("Different phone numbers."),
    ("company", SAME): N_("At the same company."),
    ("company", FAR): N_("At different companies."),
    ("name", SAME): N_("The names are the same."),
    ("name", CLOSE): N_("The names are nearly the same."),
    ("name", NEAR): N_("The names resemble each other."),
    ("name", "part"): N_("One name is part of the other."),
    ("name", FAR): N_("The names differ."),
    ("legal_form", SAME): N_("The same legal form."),
    ("legal_form", FAR): N_("Different legal forms."),
    ("vat_id", SAME): N_("The same VAT id."),
    ("vat_id", CLOSE): N_("Nearly the same VAT id."),
    ("vat_id", FAR): N_("Different VAT ids."),
    ("website", SAME): N_("The same website."),
    ("website", FAR): N_("Different websites."),
    ("third", "linked"): N_("Both look like a third record."),
}


@dataclass(frozen=True)
class Likeness:
    """What came of comparing two records: the score, and why, the weightiest first."""

    score: int  # 0 to 100
    reasons: tuple  # of (what, level, weight in bits)

    @property
    def is_contradicted(self):
        """Whether something says plainly that these are two."""
        return any((what, level) == ("person", "another") for what, level, _ in self.reasons)

    def linked(self, score):
        """The same, of a pair that a third record ties together."""
        return Likeness(max(score, self.score), (("third", "linked", 0.0), *self.reasons))

    def as_rows(self):
        """The reasons as JSON keeps them; no value of a record stands in them."""
        return [
            {"what": what, "level": level, "weight": round(weight, 1)} for what, level, weight in self.reasons
        ]


def tells_of(what, names):
    """Whether a comparison tells of one of these columns."""
    return not names.isdisjoint(COMPARED_BY.get(what, (what,)))


def sentence(what, level):
    """The sentence for one reason, to be translated at the edge."""
    return SENTENCES[what, level]


# --------------------------------------------------------------------------------------------- preparing


class Person(NamedTuple):
    """A contact as it is compared: everything folded, numbers as digits."""

    first: str = ""
    last: str = ""
    born: str = ""
    street: str = ""
    number: str = ""
    more: str = ""
    city: str = ""
    postal: str = ""
    region: str = ""
    country: str = ""
    mails: tuple = ()
    phones: tuple = ()
    company: str = ""


class Firm(NamedTuple):
    """A company as it is compared: its name without the legal form, everything folded."""

    name: str = ""
    form: str = ""
    vat: str = ""
    street: str = ""
    number: str = ""
    more: str = ""
    city: str = ""
    postal: str = ""
    region: str = ""
    country: str = ""
    mails: tuple = ()
    phones: tuple = ()
    site: str = ""


def person(values):
    """A contact's values (a mapping; `company` is the company's id or name) made ready to be compared."""
    get = values.get
    born = get("birth_date")
    return Person(
        first=plain(get("first_name")),
        last=plain(get("last_name")),
        born=str(born).replace("-", "")[:8] if born else "",
        **_address(values),
        mails=_mails(get("email")),
        phones=_phones(get("phone"), get("mobile")),
        company=_without_form(plain(get("company")))[0],
    )


def firm(values):
    """A company's values (a mapping) made ready to be compared."""
    get = values.get
    name, form = _without_form(plain(get("name")))
    return Firm(
        name=name,
        form=form,
        vat=plain(get("vat_id")).replace(" ", ""),
        **_address(values),
        mails=_mails(get("email")),
        phones=_phones(get("phone")),
        site=_site(get("website")),
    )


_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def plain(text):
    """Folded, with nothing but letters, digits and single spaces: "O'Neill-Müller" -> "o neill muller"."""
    if text is None or text == "":
        return ""
    return _NOT_PLAIN.sub(" ", fold(text)).strip()


# Words for "street" that are written in many ways; none of them tells one street from another.
_ROAD = re.compile(
    r"(strasse|str|street|st|avenue|ave|av|road|rd|place|pl|lane|ln|drive|dr|court|ct|crescent|cres|cr|circuit|cct|"
    r"close|cl|boulevard|blvd|way|terrace|tce|rue|via|calle|platz|weg|allee|gasse|laan|straat|parade|pde|grove|gr)"
)
_ROAD_WORDS = frozenset(_ROAD.pattern.strip("()").split("|"))
_GLUED_ROAD = re.compile(r"(?<=[a-z]{3})(strasse|str|straat|gasse)$")


def _address(values):
    get = values.get
    head, _, more = (get("street") or "").replace("\n", ",").replace(";", ",").partition(",")
    number, words = "", []
    for word in plain(head).split():
        if not number and any(letter.isdigit() for letter in word):
            number = word
        else:
            words.append(_GLUED_ROAD.sub("", word))
    named = [word for word in words if word not in _ROAD_WORDS] or words
    city, postal = plain(get("city")), plain(get("postal_code"))
    if city.isdigit() and postal.replace(" ", "").isalpha():
        city, postal = postal, city  # filled in the wrong way round
    return {
        "street": " ".join(named),
        "number": number,
        "more": plain(more),
        "city": city,
        "postal": postal.replace(" ", ""),
        "region": plain(get("region")),
        "country": plain(get("country")),
    }


def _mails(text):
    return (
        tuple(part for part in str(text).casefold().replace(",", " ").split() if "@" in part) if text else ()
    )


def digits_of(number):
    """The last nine digits of a phone number: the same however country code and zeros are written."""
    return re.sub(r"\D", "", str(number))[-9:]


def _phones(*numbers):
    found = (digits_of(number) for number in numbers if number)
    return tuple(dict.fromkeys(digits for digits in found if len(digits) >= 6))


def _site(text):
    host = re.sub(r"^\w+://", "", str(text).casefold().strip()) if text else ""
    return host.split("/")[0].removeprefix("www.")


_FORMS = {
    "gmbh": "gmbh", "mbh": "gmbh", "ges m b h": "gmbh", "gesellschaft mbh": "gmbh", "gmbh co kg": "gmbh co kg",
    "gmbh und co kg": "gmbh co kg", "ag": "ag", "aktiengesellschaft": "ag", "kg": "kg", "ohg": "ohg", "gbr": "gbr",
    "ug": "ug", "ug haftungsbeschrankt": "ug", "e k": "ek", "ek": "ek", "e v": "ev", "ev": "ev", "eg": "eg", "se": "se",
    "inc": "inc", "incorporated": "inc", "corp": "inc", "corporation": "inc", "co": "co", "company": "co",
    "llc": "llc", "l l c": "llc", "llp": "llp", "ltd": "ltd", "limited": "ltd", "pty ltd": "ltd", "plc": "plc",
    "sa": "sa", "s a": "sa", "sarl": "sarl", "s a r l": "sarl", "sas": "sas", "s a s": "sas", "eurl": "eurl",
    "srl": "srl", "s r l": "srl", "spa": "spa", "s p a": "spa", "bv": "bv", "b v": "bv", "nv": "nv", "n v": "nv",
    "ab": "ab", "oy": "oy", "as": "as", "a s": "as", "aps": "aps", "sl": "sl", "s l": "sl", "sp z o o": "sp zoo",
    "sp zoo": "sp zoo", "s r o": "sro", "sro": "sro", "kft": "kft", "ooo": "ooo",
}  # fmt: skip
_LONGEST_FORM = max(len(form.split()) for form in _FORMS)


def _without_form(name):
    """A company's folded name and its legal form apart; a name that is nothing but a form stays a name."""
    words = name.split()
    for length in range(min(_LONGEST_FORM, len(words) - 1), 0, -1):
        form = _FORMS.get(" ".join(words[-length:]))
        if form is not None:
            return " ".join(words[:-length]), form
    return name, ""


# --------------------------------------------------------------------------------------------- comparing


def compare_people(one, other, at_least=0):
    """Two prepared contacts: the likeness with its reasons, or None when the score is below `at_least`."""
    return _weighed(levels_of_people(one, other), CONTACT_WEIGHTS, CONTACT_BIAS, at_least)


def compare_firms(one, other, at_least=0):
    """Two prepared companies: the likeness with its reasons, or None when the score is below `at_least`."""
    return _weighed(levels_of_firms(one, other), COMPANY_WEIGHTS, COMPANY_BIAS, at_least)


def _weighed(levels, weights, bias, at_least):
    score = percent(bias + sum([weights.get(level, 0.0) for level in levels]))
    if score < at_least:
        return None
    reasons = [(what, level, weights.get((what, level), 0.0)) for what, level in levels]
    reasons.sort(key=lambda reason: -abs(reason[2]))
    return Likeness(score, tuple(reasons))


def percent(bits):
    """A sum of weights as the probability it stands for, 0 to 100, rounded down: 100 is for what is beyond doubt."""
    if bits > 60:
        return 100
    odds = math.pow(2.0, max(bits, -60))
    return int(100 * odds / (1 + odds) + 0.0005)


def levels_of_people(one, other):
    """What two contacts can be compared by, and how it came out: (what, level)."""
    levels = [*_names(one, other), *_addresses(one, other), *_reached_by(one, other)]
    if one.born and other.born:
        day = _days(one.born, other.born)
        levels.append(("birth_date", day))
        if day in (FAR, NEAR) and ("first_name", FAR) in levels:
            levels.append(("person", "another"))  # someone else of that name, or of that house
    elif ("first_name", FAR) in levels:
        levels.append(("person", "unsure"))
    if one.company and other.company:
        same = one.company == other.company
        if not same and not (one.company.isdigit() or other.company.isdigit()):
            same = _similar(one.company, other.company) == CLOSE
        levels.append(("company", SAME if same else FAR))
    return levels


def levels_of_firms(one, other):
    """What two companies can be compared by, and how it came out: (what, level)."""
    levels = [("name", _firm_names(one.name, other.name)), *_addresses(one, other), *_reached_by(one, other)]
    if one.form and other.form:
        levels.append(("legal_form", SAME if one.form == other.form else FAR))
    if one.vat and other.vat:
        levels.append(("vat_id", _codes(one.vat, other.vat)))
    if one.site and other.site:
        levels.append(("website", SAME if one.site == other.site else FAR))
    return levels


def _names(one, other):
    """First and last names; the other way round where that fits better, as hasty typists do it."""
    straight = (_first_names(one.first, other.first), _similar(one.last, other.last))
    if straight == (SAME, SAME):
        return [("first_name", SAME), ("last_name", SAME), ("names", "both")]
    across = (_similar(one.first, other.last), _similar(one.last, other.first))
    if _rank(across) > _rank(straight):
        # By which half of the one record the level is named does not matter: both are names.
        found = [("first_name", across[0]), ("last_name", across[1])]
        found = [(what, level) for what, level in found if level is not None]
        return [*found, ("names", "both" if _all_fit(across) else "swapped")]
    found = [
        (what, level) for what, level in zip(("first_name", "last_name"), straight, strict=True) if level
    ]
    return [*found, ("names", "both")] if _all_fit(straight) else found


_WORTH = {SAME: 3, CLOSE: 2, "short": 2, NEAR: 1, FAR: 0, None: 0}


def _all_fit(levels):
    one, other = levels
    return _WORTH[one] > 1 and _WORTH[other] > 1


def _rank(levels):
    one, other = levels
    return _WORTH[one] + _WORTH[other]


def _first_names(one, other):
    level = _similar(one, other)
    if level in (None, SAME, CLOSE):
        return level
    if _is_short_for(one, other) or _is_short_for(other, one):
        return "short"
    return level


def _is_short_for(short, long):
    if len(short) == 1 or (len(short) >= 3 and long.startswith(short)):
        return long.startswith(short)
    return long in _LONG_FORMS.get(short, ())


# Short forms of which the long one cannot be guessed from the letters.
_LONG_FORMS = {
    short: frozenset(long.split())
    for short, long in {
        "bill": "william", "billy": "william", "will": "william", "bob": "robert", "rob": "robert",
        "dick": "richard", "rick": "richard", "jim": "james", "jack": "john jackson", "johnny": "john",
        "ted": "edward theodore", "ned": "edward", "tony": "anthony antonio", "andy": "andrew andreas",
        "drew": "andrew", "mike": "michael", "mick": "michael", "peggy": "margaret", "meg": "margaret megan",
        "maggie": "margaret", "liz": "elizabeth", "beth": "elizabeth bethany", "betty": "elizabeth",
        "lisa": "elisabeth", "kate": "katherine catherine", "kathy": "katherine catherine", "katie": "katherine",
        "harry": "harold henry harrison", "hank": "henry", "chuck": "charles", "charlie": "charles charlotte",
        "lottie": "charlotte", "sandy": "alexandra alexander", "sasha": "alexander alexandra", "xander": "alexander",
        "hans": "johannes johann", "hannes": "johannes", "sepp": "josef", "joe": "joseph", "jupp": "josef",
        "fritz": "friedrich", "heinz": "heinrich", "klaus": "nikolaus", "uli": "ulrich ulrike", "rolf": "rudolf",
        "gerd": "gerhard", "bernd": "bernhard", "willi": "wilhelm", "steffi": "stefanie", "gabi": "gabriele",
        "uschi": "ursula", "conny": "cornelia", "moni": "monika", "lena": "magdalena helena", "pepe": "jose",
        "paco": "francisco", "pancho": "francisco", "nacho": "ignacio", "lola": "dolores", "vanya": "ivan",
        "dima": "dmitri dmitry", "becky": "rebecca", "becca": "rebecca", "nick": "nicholas", "gus": "augustus angus",
    }.items()
}  # fmt: skip


def _addresses(one, other):
    found = []
    street, more = _similar(one.street, other.street), _similar(one.more, other.more)
    if street not in (SAME, CLOSE):
        # A house's name fills the first line, or both lines have changed places.
        across = (_similar(one.street, other.more), _similar(one.more, other.street))
        if _rank(across) > _rank((street, more)):
            street, more = max(across, key=lambda level: RANK.get(level, -1)), None
    found.append(("street", street))
    found.append(("address_more", more))
    if one.number and other.number:
        found.append(("house_number", _codes(one.number, other.number)))
    found.append(("city", _similar(one.city, other.city)))
    if one.postal and other.postal:
        found.append(("postal_code", _codes(one.postal, other.postal)))
    if one.region and other.region:
        found.append(("region", _codes(one.region, other.region)))
    if one.country and other.country:
        found.append(("country", SAME if one.country == other.country else FAR))
    return [(what, level) for what, level in found if level is not None]


# Mailboxes that stand for a house, and houses whose mailboxes say nothing about who sits there.
SHARED_BOXES = frozenset(
    "info office mail contact kontakt sales support service admin hello team post buero vertrieb einkauf".split()
)
FREE_MAIL = frozenset(
    "gmail.com googlemail.com gmx.de gmx.net web.de t-online.de yahoo.com hotmail.com outlook.com icloud.com "
    "live.com aol.com freenet.de posteo.de proton.me mail.ru orange.fr free.fr laposte.net gmx.at bluewin.ch".split()
)


def _reached_by(one, other):
    found = []
    if one.mails and other.mails:
        found.append(("email", _mail_level(one.mails, other.mails)))
    if one.phones and other.phones:
        found.append(("phone", _phone_level(one.phones, other.phones)))
    return found


def _mail_level(ours, theirs):
    shared = set(ours) & set(theirs)
    if shared:
        return "shared" if all(mail.partition("@")[0] in SHARED_BOXES for mail in shared) else SAME
    if any(OSA.distance(one, other, score_cutoff=2) <= 2 for one in ours for other in theirs):
        return CLOSE
    houses = {mail.partition("@")[2] for mail in ours} & {mail.partition("@")[2] for mail in theirs}
    return "domain" if houses - FREE_MAIL else FAR


def _phone_level(ours, theirs):
    pairs = [(one, other) for one in ours for other in theirs]
    if any(
        one == other or (len(min(one, other, key=len)) >= 7 and _ends_alike(one, other))
        for one, other in pairs
    ):
        return SAME
    return CLOSE if any(OSA.distance(one, other, score_cutoff=1) <= 1 for one, other in pairs) else FAR


def _ends_alike(one, other):
    return one.endswith(other) or other.endswith(one)


def _codes(one, other):
    """Numbers and codes: the same, one slip of the finger apart, or others."""
    if one == other:
        return SAME
    return CLOSE if OSA.distance(one, other, score_cutoff=1) <= 1 else FAR


def _days(one, other):
    """Days written as 19700131: the same, one slip or day and month changed, two slips, or others."""
    if one == other:
        return SAME
    slips = OSA.distance(one, other, score_cutoff=2)
    if slips <= 1 or (one[:4] == other[:4] and one[4:6] == other[6:] and one[6:] == other[4:6]):
        return CLOSE
    return NEAR if slips == 2 else FAR


@lru_cache(maxsize=65536)
def _similar(one, other):
    """Two folded texts: the same, nearly (a slip in some letters, or a space), somewhat, or others; None: nothing
    to compare."""
    if not one or not other:
        return None
    if one == other:
        return SAME
    has_words = " " in one or " " in other
    if has_words and (one.replace(" ", "") == other.replace(" ", "") or _words(one) == _words(other)):
        return CLOSE
    alike = OSA.normalized_similarity(one, other)
    if alike >= 0.75 or (OSA.distance(one, other, score_cutoff=1) <= 1 and min(len(one), len(other)) > 2):
        return CLOSE
    if alike >= 0.55 or JaroWinkler.similarity(one, other) >= 0.85 or skeleton(one) == skeleton(other):
        return NEAR
    return FAR


def _words(text):
    return sorted(text.split())


_SOUNDS = [
    (re.compile(pattern), sound)
    for pattern, sound in (
        ("sch|sh|ch|tsch", "s"), ("ph|pf|v|w", "f"), ("ck|qu|q|c|g|x", "k"), ("th|dt|d", "t"), ("z|ts|tz", "s"),
        ("b", "p"), ("j|y", "i"), ("n", "m"), ("[aeiouh ]", ""), (r"(.)\1+", r"\1"),
    )
]  # fmt: skip


@lru_cache(maxsize=65536)
def skeleton(name):
    """What is left of a folded name when it is heard instead of read: "schmidt" and "smith" are both "smt"."""
    head = name[:1]
    for pattern, sound in _SOUNDS:
        name = pattern.sub(sound, name)
    return name or head


def _firm_names(one, other):
    level = _similar(one, other)
    if level in (SAME, CLOSE):
        return level
    ours, theirs = set(one.split()), set(other.split())
    if (ours <= theirs or theirs <= ours) and max(map(len, ours & theirs), default=0) >= 4:
        return "part"
    return level or FAR
