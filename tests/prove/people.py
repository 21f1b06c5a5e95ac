"""People and firms who do not exist, and how they come to stand in a list twice; always the same for a seed.

What goes wrong between a person and his second record follows the literature on typing, hearing and scanning errors
that FEBRL's own generator cites (P. Christen, "Probabilistic Data Generation for Deduplication and Data Linkage",
IDEAL 2005): slips of the finger, letters in the wrong order, words heard instead of read, split and joined words,
fields left out, replaced or changed for one another. Words and frequencies are our own: nothing was taken from a file
that the finder is measured on.

A record is a dict in the shape of a contact (`company` is a name), with `who`, the number of the person it is about.
"""

import random
from bisect import bisect
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate

GIVEN = (
    "anna maria peter thomas michael julia laura stefan daniel sophie lukas emma james mary john patricia robert "
    "jennifer linda william elizabeth david barbara richard susan joseph jessica charles sarah christopher karen "
    "matthew nancy anthony lisa mark betty donald margaret steven sandra andrew ashley paul kimberly joshua emily "
    "kenneth donna kevin michelle brian carol george amanda edward melissa ronald deborah timothy stephanie jason "
    "rebecca jeffrey sharon ryan cynthia jacob kathleen gary amy nicholas angela eric shirley jonathan brenda larry "
    "pamela justin nicole scott samantha brandon katherine benjamin christine samuel helen gregory debra frank rachel "
    "alexander carolyn raymond janet patrick maria jack catherine dennis heather jerry diane tyler olivia aaron julie "
    "jose joyce henry victoria adam ruth douglas virginia nathan lauren zachary kelly kyle christina walter joan "
    "harold evelyn jeremy judith keith andrea roger hannah hans klaus juergen wolfgang heike ursula monika petra "
    "sabine renate helga karin ingrid birgit pierre camille lucie chloe mathieu francois giulia marco luca chiara "
    "ivan olga dmitri natalia pavel katerina jan pieter sanne femke lars ingrid bjorn astrid ahmed fatima yusuf aisha "
    "wei ling hiroshi yuki mei kenji priya arjun sanjay lakshmi tariq zara noah mia leon lina finn ella ben clara"
).split()
SURNAME = (
    "mueller schmidt schneider fischer weber meyer wagner becker schulz hoffmann koch bauer richter klein wolf "
    "schroeder neumann schwarz zimmermann braun krueger hofmann hartmann lange werner krause lehmann smith jones "
    "taylor brown williams wilson johnson davies robinson wright thompson evans walker white roberts green hall wood "
    "jackson clarke patel lewis turner hill harris cooper king lee martin baker bell murphy miller cook allen scott "
    "watson young mitchell simpson marshall collins bennett gray cox hughes price shaw kelly bailey dubois moreau "
    "laurent simon michel lefebvre leroy roux fournier girard rossi russo ferrari esposito bianchi romano colombo "
    "ricci garcia martinez lopez gonzalez rodriguez fernandez sanchez perez gomez ivanov petrov sidorov volkov "
    "kowalski nowak wisniewski novak svoboda dvorak horvath nagy kovacs jansen devries bakker visser hansen olsen "
    "larsen nilsson eriksson nguyen tran chen wang zhang tanaka suzuki sato kumar singh sharma khan ali hussain"
).split()
SYLLABLES = (
    "ba be bi bo bra bre ca che co cra da de di do dra dun fa fen fi fo ga ge glen go gra gre ha he hol ja ka ke kin "
    "la le li lo lun ma me mi mo mor na ne ni no nor pa pe pen pi po ra re ri ro ron sa se shel si so sta ste ta te "
    "ti to tre ul va ve vi wa we wi win wy ya za"
).split()
ENDINGS = (
    "n r s l ck ton ley son man er ing ford field wood well more land berg stein hurst by dale worth".split()
)
ROADS = "street street street road avenue place crescent court drive close circuit lane way".split()
HOUSES = "villa,lodge,park,farm,gardens,house,manor,retirement village,flats,towers,station,unit".split(",")
REGIONS = "north south east west upper lower central coast".split()
TRADES = (
    "logistics foods systems software consulting energy steel paper marine optics textiles foundry press "
    "instruments furniture brewery pharma media labs bakery transport tools"
).split()
FORMS = "GmbH,AG,GmbH & Co. KG,KG,Ltd,Inc,LLC,S.A.,SARL,B.V.,plc".split(",")
FREE = "gmail.com gmx.de web.de yahoo.com hotmail.com outlook.com".split()
TITLES = "buyer,managing director,engineer,assistant,head of purchasing,controller,sales manager".split(",")


class Words:
    """Words drawn with the frequencies of a language: few are common, most are rare (Zipf)."""

    def __init__(self, words, skew=0.8):
        self.words = list(dict.fromkeys(words))
        self.sums = list(accumulate(1 / (rank**skew) for rank in range(3, len(self.words) + 3)))

    def draw(self, rng):
        return self.words[bisect(self.sums, rng.random() * self.sums[-1])]


def made_up(rng, count, *, parts=(1, 2), end=0.8):
    """So many words that sound like names of people or places."""
    words = set()
    while len(words) < count:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(*parts) + 1))
        words.add(word + (rng.choice(ENDINGS) if rng.random() < end else ""))
    return sorted(words)


class World:
    """The names, towns and firms that people are made of; larger for more people."""

    def __init__(self, seed, size):
        rng = random.Random(seed)
        self.given = Words([*GIVEN, *made_up(rng, 250, end=0.3)])
        self.surname = Words([*SURNAME, *made_up(rng, max(1500, size // 20))], skew=0.7)
        self.road = Words(made_up(rng, max(1200, size // 20)), skew=0.4)
        self.house = Words(
            [
                *(f"{word} {rng.choice(HOUSES)}" for word in made_up(rng, max(400, size // 40))),
                *made_up(rng, max(400, size // 40)),
                *(f"{kind} {number}" for kind in ("flat", "unit", "apartment") for number in range(1, 40)),
            ],
            skew=0.5,
        )
        towns = made_up(rng, max(700, size // 40), parts=(1, 3))
        self.towns = Words(
            [
                (town if rng.random() < 0.8 else f"{rng.choice(REGIONS)} {town}", rng.choice(REGIONS)[:3])
                for town in towns
            ],
            skew=0.5,
        )
        self.firms = [self._firm(rng, number) for number in range(max(60, size // 12))]

    def _firm(self, rng, number):
        town, region = self.towns.draw(rng)
        name = f"{self.surname.draw(rng)} {rng.choice(TRADES)}".title()
        if rng.random() < 0.3:
            name = f"{rng.choice(made_up(rng, 3))} {rng.choice(TRADES)}".title()
        domain = name.lower().replace(" ", "-") + rng.choice((".com", ".de", ".eu"))
        return {
            "who": number,
            "name": f"{name} {rng.choice(FORMS)}" if rng.random() < 0.8 else name,
            "email": f"info@{domain}",
            "website": f"https://www.{domain}",
            "phone": phone(rng),
            "vat_id": f"DE{rng.randrange(10**8, 10**9)}",
            "street": f"{self.road.draw(rng)} {rng.choice(ROADS)} {rng.randint(1, 120)}",
            "postal_code": str(rng.randint(10000, 99999)),
            "city": town,
            "region": region,
            "country": rng.choice(("Germany", "France", "United Kingdom")),
        }


def phone(rng):
    return f"+{rng.choice((49, 33, 44, 61))} {rng.randint(20, 999)} {rng.randrange(10**6, 10**8)}"


# --------------------------------------------------------------------------------------------- originals


def registered(world, rng, who):
    """A person as an office registers one: name, address, birthday; no mail and no phone."""
    town, region = world.towns.draw(rng)
    return _lossy(
        rng,
        {
            "who": who,
            "first_name": world.given.draw(rng),
            "last_name": world.surname.draw(rng),
            "number": str(min(999, int(rng.expovariate(1 / 45)) + 1)),
            "road": f"{world.road.draw(rng)} {rng.choice(ROADS)}",
            "more": world.house.draw(rng),
            "city": town,
            "postal_code": str(rng.randint(1000, 9999) if rng.random() < 0.4 else 2000 + rng.randint(0, 2500)),
            "region": region,
            "birth_date": f"{date(1900, 1, 1) + timedelta(days=rng.randrange(36500)):%Y%m%d}",
        },
        {"first_name": 0.04, "last_name": 0.015, "number": 0.04, "road": 0.02, "more": 0.1, "birth_date": 0.04,
         "region": 0.02, "city": 0.01},
    )  # fmt: skip


def known(world, rng, who):
    """A person as a firm knows one: mail, phone, company; some with an address, few with a birthday."""
    first, last, firm = world.given.draw(rng), world.surname.draw(rng), rng.choice(world.firms)
    private = rng.random() < 0.25
    town, region = world.towns.draw(rng)
    domain = rng.choice(FREE) if private else firm["email"].partition("@")[2]
    box = rng.choice((f"{first}.{last}", f"{first[0]}.{last}", last, f"{first}{rng.randint(1, 99)}"))
    at_firm = rng.random() < 0.8
    return _lossy(
        rng,
        {
            "who": who,
            "first_name": first,
            "last_name": last,
            "email": f"{box}@{domain}" if rng.random() < 0.95 else firm["email"],
            "phone": firm["phone"] if rng.random() < 0.35 and not private else phone(rng),
            "mobile": phone(rng),
            "company": "" if private else firm["name"],
            "number": firm["street"].split()[-1] if at_firm and not private else str(rng.randint(1, 150)),
            "road": " ".join(firm["street"].split()[:-1])
            if at_firm and not private
            else f"{world.road.draw(rng)} {rng.choice(ROADS)}",
            "more": world.house.draw(rng),
            "city": firm["city"] if at_firm and not private else town,
            "postal_code": firm["postal_code"] if at_firm and not private else str(rng.randint(10000, 99999)),
            "region": firm["region"] if at_firm and not private else region,
            "country": firm["country"],
            "birth_date": f"{date(1945, 1, 1) + timedelta(days=rng.randrange(22000)):%Y%m%d}",
        },
        {"first_name": 0.08, "email": 0.15, "phone": 0.35, "mobile": 0.6, "road": 0.45, "number": 0.05, "more": 0.9,
         "city": 0.25, "postal_code": 0.3, "region": 0.7, "country": 0.3, "birth_date": 0.85, "company": 0.1},
    )  # fmt: skip


def relative(world, rng, who, of):
    """Another person under the same roof: the family's name and address, perhaps the phone; now and then a twin."""
    other = dict(of, who=who)
    other["first_name"] = world.given.draw(rng)
    if rng.random() < 0.03:
        other["first_name"] = of["first_name"]  # father and son
    if of["birth_date"] and rng.random() > 0.03:
        years = rng.choice((2, 3, 25, 28, 30, 33))
        other["birth_date"] = (
            f"{_day(of['birth_date']) + timedelta(days=years * 365 + rng.randint(-150, 150)):%Y%m%d}"
        )
    if of.get("email"):
        other["email"] = f"{other['first_name']}.{other['last_name']}@{rng.choice(FREE)}"
    if of.get("mobile"):
        other["mobile"] = phone(rng)
    if rng.random() < 0.3:
        other["more"] = ""
    return _lossy(rng, other, {"birth_date": 0.03, "email": 0.1, "phone": 0.2, "number": 0.03})


def namesake(world, rng, who, of):
    """A stranger of the same name; now and then in the same town."""
    other = registered(world, rng, who) if "email" not in of else known(world, rng, who)
    other.update(first_name=of["first_name"], last_name=of["last_name"])
    if rng.random() < 0.2:
        other.update(city=of["city"], postal_code=of["postal_code"], region=of["region"])
    return other


def _day(text):
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _lossy(rng, record, share):
    for field, probability in share.items():
        if record.get(field) and rng.random() < probability:
            record[field] = ""
    return record


# --------------------------------------------------------------------------------------------- what goes wrong


@dataclass(frozen=True)
class Wear:
    """How much goes wrong between a person and his second record."""

    per_record: int = 1  # at most so many fields
    per_field: int = 1  # at most so many errors in each of them
    retyped: float = 0.0  # how often someone who knows the firm's habits typed it anew


KEYS = ("qwertzuiop", "asdfghjkl", "yxcvbnm", "1234567890")
LOOKALIKES = {"o": "0", "0": "o", "l": "1", "1": "l", "i": "l", "s": "5", "5": "s", "b": "8", "8": "b", "m": "rn",
              "n": "r", "e": "c", "h": "b", "u": "v"}  # fmt: skip
HEARD = (
    ("ph", "f"), ("f", "ph"), ("ck", "k"), ("k", "ck"), ("c", "k"), ("k", "c"), ("ei", "ai"), ("ai", "ay"),
    ("ey", "y"), ("y", "ie"), ("ie", "y"), ("ll", "l"), ("l", "ll"), ("tt", "t"), ("t", "tt"), ("nn", "n"),
    ("n", "nn"), ("s", "ss"), ("ss", "s"), ("z", "s"), ("s", "z"), ("th", "t"), ("dt", "t"), ("d", "dt"),
    ("ou", "u"), ("oo", "u"), ("ee", "ea"), ("ea", "ee"), ("v", "w"), ("w", "v"), ("mc", "mac"), ("er", "or"),
    ("sch", "sh"), ("ue", "u"), ("oe", "o"), ("ae", "a"), ("ks", "x"), ("x", "ks"), ("e", "a"), ("a", "e"), ("i", "y"),
)  # fmt: skip
CALLED = {"william": "bill", "robert": "bob", "michael": "mike", "elizabeth": "liz", "katherine": "kate",
          "thomas": "tom", "richard": "dick", "anthony": "tony", "alexander": "alex", "stefan": "steff",
          "nicholas": "nick", "daniel": "dan", "jennifer": "jenny", "rebecca": "becky",
          "margaret": "peggy"}  # fmt: skip

# How likely a field is to be the one that something is wrong with.
TARGETS = {"first_name": 10, "last_name": 15, "number": 10, "road": 10, "more": 10, "city": 10, "postal_code": 6,
           "region": 5, "birth_date": 10, "email": 6, "phone": 6, "mobile": 3, "company": 4}  # fmt: skip
CHANGED_ROUND = {"first_name": "last_name", "last_name": "first_name", "road": "more", "more": "road",
                 "city": "postal_code"}  # fmt: skip


def second_record(world, rng, original, wear):
    """The same person once more, as worn as `wear` says."""
    record = dict(original)
    if rng.random() < wear.retyped:
        return _retyped(world, rng, record)
    fields = [field for field in TARGETS if field in record]
    chosen = set()
    for _ in range(rng.randint(1, wear.per_record)):
        chosen.add(rng.choices(fields, [TARGETS[field] for field in fields])[0])
    for field in sorted(chosen):
        _damage(world, rng, record, field, rng.randint(1, wear.per_field))
    return record


def _damage(world, rng, record, field, times):
    chance = rng.random()
    if not record[field]:
        if chance < 0.15:
            record[field] = _another(world, rng, field)
        return
    if chance < 0.1:
        record[field] = _another(world, rng, field)
    elif chance < (0.5 if field == "more" else 0.16):
        record[field] = ""
    elif chance < 0.2 and field in CHANGED_ROUND:
        other = CHANGED_ROUND[field]
        record[field], record[other] = record[other], record[field]
    else:
        for _ in range(times):
            record[field] = slip(rng, record[field]) or record[field]


def _another(world, rng, field):
    """A value that has nothing to do with the one that stood there."""
    return (registered if rng.random() < 0.5 else known)(world, rng, 0).get(field, "")


def slip(rng, text):
    """One error of typing, hearing or scanning in this text."""
    kind, at = rng.random(), rng.randrange(len(text))
    digits = text.isdigit()
    if kind < 0.2 and not digits:
        places = [(old, new) for old, new in HEARD if old in text]
        if places:
            old, new = rng.choice(places)
            return text.replace(old, new, 1)
    if kind < 0.26:
        return text[:at] + LOOKALIKES.get(text[at], text[at]) + text[at + 1 :] if not digits else text
    if kind < 0.36 and len(text) > 1:
        at = min(at, len(text) - 2)
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind < 0.5 and len(text) > 1:
        return text[:at] + text[at + 1 :]
    if kind < 0.62:
        return text[:at] + (rng.choice("0123456789") if digits else _beside(rng, text[at])) + text[at:]
    if kind < 0.66 and " " in text:
        return text.replace(" ", "", 1)
    if kind < 0.68 and not digits:
        return f"{text[:at]} {text[at:]}".strip()
    if kind < 0.72 and " " in text:
        words = text.split()
        rng.shuffle(words)
        return " ".join(words)
    return text[:at] + (rng.choice("0123456789") if digits else _beside(rng, text[at])) + text[at + 1 :]


def _beside(rng, letter):
    for row in KEYS:
        at = row.find(letter)
        if at >= 0 and rng.random() < 0.7:
            return row[max(0, at - 1) : at + 2].replace(letter, "")[:1] or letter
    return rng.choice("abcdefghijklmnopqrstuvwxyz")


def _retyped(world, rng, record):
    """Someone else typed the same person in: what he knew, in his own way of writing it."""
    if record["first_name"] and rng.random() < 0.3:
        first = record["first_name"]
        record["first_name"] = CALLED.get(first, first[0] if rng.random() < 0.4 else first)
    for field, share in {"email": 0.3, "phone": 0.4, "mobile": 0.4, "company": 0.3, "road": 0.5, "city": 0.3,
                         "postal_code": 0.4, "birth_date": 0.5, "country": 0.4, "region": 0.5}.items():  # fmt: skip
        if record.get(field) and rng.random() < share:
            record[field] = ""
    if record.get("phone") and rng.random() < 0.5:
        digits = "".join(letter for letter in record["phone"] if letter.isdigit())
        record["phone"] = f"0{digits[2:5]}/{digits[5:]}"
    if record.get("phone") and rng.random() < 0.15:
        record["phone"], record["mobile"] = record.get("mobile", ""), record["phone"]
    if record.get("email") and rng.random() < 0.12:
        record["email"] = f"{record['first_name'] or 'x'}.{record['last_name']}@{rng.choice(FREE)}"
    if record.get("company") and rng.random() < 0.06:  # went elsewhere
        firm = rng.choice(world.firms)
        record.update({field: firm[field] for field in ("phone", "city", "postal_code", "region", "country")})
        record.update(company=firm["name"], road="", number="", email="")
    if record.get("company") and rng.random() < 0.4:
        record["company"] = record["company"].removesuffix(" GmbH").removesuffix(" AG").removesuffix(" Ltd")
    if record["last_name"] and rng.random() < 0.15:
        record["last_name"] = slip(rng, record["last_name"]) or record["last_name"]
    if record["last_name"] and rng.random() < 0.03:
        record["last_name"] = world.surname.draw(rng)  # married
    return record


# --------------------------------------------------------------------------------------------- whole lists


@dataclass(frozen=True)
class Crowd:
    """What a list of contacts is made of."""

    originals: int = 2000
    share: float = 0.5  # of the originals, who have further records
    at_most: int = 1  # further records each
    at_least: int = 1
    wear: Wear = Wear()
    known: float = 0.0  # of the originals, who are known as firms know people
    relatives: float = 0.0
    namesakes: float = 0.0
    undated: float = 0.0  # of the records, that have lost their date of birth


def crowd(seed, size):
    """The records of such a crowd, shuffled, in the shape of contacts."""
    rng, world = random.Random(seed), World(seed + 1, size.originals)
    originals = []
    for who in range(size.originals):
        chance = rng.random()
        if originals and chance < size.relatives:
            originals.append(relative(world, rng, who, rng.choice(originals)))
        elif originals and chance < size.relatives + size.namesakes:
            originals.append(namesake(world, rng, who, rng.choice(originals)))
        else:
            make = known if rng.random() < size.known else registered
            originals.append(make(world, rng, who))
    records = list(originals)
    for original in originals:
        if rng.random() < size.share:
            for _ in range(_how_many(rng, size.at_least, size.at_most)):
                records.append(second_record(world, rng, original, size.wear))
    rng.shuffle(records)
    for record in records:
        if rng.random() < size.undated:
            record["birth_date"] = ""
    return [as_contact(record) for record in records]


def _how_many(rng, at_least, at_most):
    """`at_least` to `at_most`, fewer more often."""
    numbers = range(at_least, at_most + 1)
    return rng.choices(numbers, [1 / number for number in numbers])[0]


def as_contact(record):
    """A record in the columns of a contact, as an import writes it."""
    record = dict(record)
    first = " ".join(part for part in (record.pop("number", ""), record.pop("road", "")) if part)
    record["street"] = ", ".join(part for part in (first, record.pop("more", "")) if part)
    born = record.get("birth_date") or ""
    try:
        record["birth_date"] = _day(born) if len(born) == 8 else None
    except ValueError:
        record["birth_date"] = None
    if not record["last_name"]:
        record["last_name"], record["first_name"] = record["first_name"] or "–", ""
    return {field: value or None for field, value in record.items() if field != "who"} | {
        "who": record["who"]
    }


def firms(seed, count, *, share=0.3):
    """A list of companies, some of them twice: another legal form or none, a slip, another mailbox, a moved office."""
    rng, world = random.Random(seed), World(seed + 1, count * 12)
    records = [dict(firm, who=number) for number, firm in enumerate(world.firms[:count])]
    for firm in list(records):
        if rng.random() < 0.5:
            for field, lost in {
                "vat_id": 0.6,
                "website": 0.4,
                "email": 0.3,
                "phone": 0.3,
                "region": 0.5,
            }.items():
                if rng.random() < lost:
                    firm[field] = None
        if rng.random() < share:
            records.append(_second_firm(world, rng, firm))
        elif rng.random() < 0.1:
            records.append(_sister_firm(rng, firm, len(records) + 10**6))
    rng.shuffle(records)
    return records


def _second_firm(world, rng, firm):
    firm = dict(firm)
    for field, lost in {"vat_id": 0.6, "website": 0.5, "email": 0.4, "phone": 0.4, "street": 0.3, "postal_code": 0.3,
                        "city": 0.2, "country": 0.3, "region": 0.6}.items():  # fmt: skip
        if firm[field] and rng.random() < lost:
            firm[field] = None
    words = firm["name"].split()
    chance = rng.random()
    if chance < 0.3 and len(words) > 2:
        words = words[:2]
    elif chance < 0.4:
        words = words[:1] + words[2:]
    elif chance < 0.5 and len(words) > 2:
        words = [*words[:2], rng.choice(FORMS)]
    firm["name"] = " ".join(words)
    if rng.random() < 0.4:
        firm["name"] = slip(rng, firm["name"]).title()
    if firm["email"] and rng.random() < 0.3:
        firm["email"] = f"{rng.choice(GIVEN)}@{firm['email'].partition('@')[2]}"
    if firm["street"] and rng.random() < 0.2:
        firm["street"] = slip(rng, firm["street"])
    if rng.random() < 0.12:  # moved, or another of its sites
        elsewhere = rng.choice(world.firms)
        for field in ("street", "postal_code", "city", "region"):
            firm[field] = elsewhere[field] if firm[field] else None
    if firm["phone"] and rng.random() < 0.25:
        firm["phone"] = phone(rng)  # another line
    if firm["email"] and rng.random() < 0.1:
        firm["email"] = f"{words[0].lower()}@{rng.choice(FREE)}"
    for field, share in {
        "city": 0.08,
        "postal_code": 0.06,
        "phone": 0.04,
        "vat_id": 0.03,
        "email": 0.03,
    }.items():
        if firm[field] and rng.random() < share:
            firm[field] = slip(rng, firm[field])
    if firm["website"] and rng.random() < 0.1:
        firm["website"] = f"http://{words[0].lower()}-group.com/en"
    if firm["country"] and rng.random() < 0.03:
        firm["country"] = rng.choice(("Germany", "France", "United Kingdom"))
    return firm


def _sister_firm(rng, firm, who):
    """Another company of the same group or the same house: shares the address or the name, has its own VAT id."""
    other = dict(firm, who=who, vat_id=f"DE{rng.randrange(10**8, 10**9)}", phone=phone(rng))
    if rng.random() < 0.5:
        words = firm["name"].split()
        other["name"] = " ".join([words[0], rng.choice(TRADES).title(), *words[2:]])
    else:
        other["name"] = f"{rng.choice(SURNAME)} {rng.choice(TRADES)}".title()
        other.update(email=None, website=None)
    return other
