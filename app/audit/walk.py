"""The walk: every address as everybody, and what comes back held against what may."""

import csv
import io
import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

from babel.numbers import format_currency

from app.audit import people
from app.audit.browser import Browser
from app.audit.canaries import CANARY, YEAR, written_columns
from app.audit.people import MAIN, condition
from app.extensions import db
from app.models import ENTITIES
from app.views import APIS, MENU, MENU_MORE, OFF_MENU

OPEN_ROUTES = {
    "static",
    *("SignIn.login", "SignIn.logout", "SecurityApi.login", "SecurityApi.refresh"),
    *("ForgottenView.forgotten", "ForgottenView.new_password"),
    *("SecondStepView.ask", "SecondStepView.enrol", "OpenIdView.start", "OpenIdView.callback"),
}


def unguarded_routes(app):
    """Routes that neither `allows` guards nor stand open by intention."""
    return sorted(
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in OPEN_ROUTES and not hasattr(app.view_functions[rule.endpoint], "verb")
    )


# --------------------------------------------------------------------------------------------- the walk

VIEWS = {entry.view.__name__: entry.view for entry in (*MENU, *MENU_MORE)}
VIEWS |= {view.__name__: view for view in OFF_MENU} | {api.__name__: api for api in APIS}


def model_of(view):
    """Whose ids stand in the addresses of a view or an API."""
    if hasattr(view, "record_view"):
        return view.record_view.model
    return getattr(view, "model", None) or ENTITIES.get(view.entity)  # None: tables of the door, no records


BY_PERSON = ("/memberships/",)  # a list of people with what they hold: its rows are no rows of the table
# Routes that want more than the right to look at the record: to change it, to have it erased, to have handed it over.
NEEDS_MORE = (".edit", ".fields", ".lose", ".share", ".undo", ".erase", ".sheet", ".value", ".search_related")
# What these show stands in lists and on sheets, too: where time is short, not every one is opened.
ELSEWHERE_TOO = (".as_of", "ChangeView.show", "ChangeView.undo")
# Followed to their last page.
FOLLOWED = ("ChangeView.index", "TrashView.index", "ReadView.index", "ApprovalView.index")
PAGE = 10  # rows a list page: small enough that lists have a next one
COUNTED = 1000  # rows that every list counts to the last one


@dataclass
class Outcome:
    """What was walked and found."""

    routes: int = 0
    people: int = 0
    rows: int = 0
    canaries: int = 0
    responses: int = 0
    figures: int = 0
    mails: int = 0
    pairs: int = 0
    out_of_place: list = field(default_factory=list)
    not_found: list = field(default_factory=list)
    wrong_figures: list = field(default_factory=list)
    told_apart: list = field(default_factory=list)
    broken: list = field(default_factory=list)

    @property
    def faults(self):
        return [*self.out_of_place, *self.not_found, *self.wrong_figures, *self.told_apart, *self.broken]

    def __str__(self):
        return (
            f"{self.routes} GET routes, {self.people} people, {self.rows} rows, {self.canaries} canaries, "
            f"{self.responses} responses: {len(self.out_of_place)} canaries out of place, "
            f"{len(self.not_found)} not found where they belong; {self.figures} figures compared, "
            f"{len(self.wrong_figures)} wrong; {self.pairs} pairs of foreign and absent ids, "
            f"{len(self.told_apart)} told apart; {len(self.broken)} pages failed"
        )


class AuditFailed(AssertionError):
    """The audit cannot vouch for this house: something in it does not say who may see it."""


class Audit:
    """One house, filled with canaries, and what its pages give away.

    `database` is the scratch copy: its `raw()` opens a bare connection past everything of ours. `people` are walked.
    """

    def __init__(self, app, database, world, walked, *, step=1, thin=1, own=1, pages=100_000):
        # `step`: every n-th word is searched for. `thin`: every n-th foreign row is opened, by turns on each route;
        # `own`: of those that may be seen. `pages`: how many of an endless list.
        self.app, self.database, self.world = app, database, world
        self.step, self.thin, self.own, self.pages = step, thin, own, pages
        for fault in (*people.undeclared_tables(db.metadata), *unguarded_routes(app)):
            raise AuditFailed(fault)
        world.mark_search_entries(database)
        self.home, self.walked = world.canaries.home, walked
        if world.papers:
            self._check_every_column()
        self.first = {}
        for (table, _), keys in world.made.items():
            self.first[table] = min([*keys, self.first.get(table, keys[0])])
        self.outcome = Outcome(canaries=len(self.home), people=len(walked))
        self.rules = [
            rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and rule.endpoint != "static"
        ]
        self.outcome.routes = len(self.rules)

    def _check_every_column(self):
        """Every written column of every scoped table holds canaries, or the audit would look past it."""
        held = {(table.removesuffix("'s history"), column) for table, _, column in self.home.values()}
        for model in ENTITIES.values():
            if model.__sight__ == "scoped":
                for column in written_columns(model.__table__):
                    if (model.__tablename__, column) not in held:
                        raise AuditFailed(f"{model.__tablename__}.{column} holds no canary")

    # ---- what is allowed

    def ask(self, statement):
        with self.database.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall()

    def _planted(self, table):
        """Which rows of a table the audit has made, as SQL over `t`."""
        return f"t.id >= {self.first.get(table, 0)}"

    def visible(self, person):
        """Table -> ids of planted rows that the person may see, by plain SQL."""
        found = {}
        for name, model in ENTITIES.items():
            if model.__sight__ == "scoped":
                asked = (
                    f"SELECT t.id FROM {name} t WHERE {self._planted(name)} AND ({condition(person, name)})"
                )
                found[name] = {key for (key,) in self.ask(asked)}
        return found

    def _allowed(self, visible):
        """The canaries that may come back, by the rows they stand in; history is seen with its record."""
        allowed, shown = set(), {}
        for table, column in self.person.hidden:
            left_open = people.left_open(self.person, table, column)
            shown[table, column] = {
                key for (key,) in self.ask(f"SELECT t.id FROM {table} t WHERE {left_open}")
            }
        for word, (table, key, column) in self.home.items():
            table = table.removesuffix("'s history")
            if key in visible[table] and (key in shown.get((table, column), (key,))):
                allowed.add(word)
        return allowed

    # ---- walking

    def run(self):
        """Walk every address as everybody."""
        for person in self.walked:
            self.walk_as(person)
        self.count_rows()
        return self.outcome

    def walk_as(self, person):
        """Every address as one person."""
        self._walk(person, self.visible(person))

    def count_rows(self):
        """Say how many rows were planted."""
        self.outcome.rows = sum(
            self.ask(f"SELECT count(*) FROM {name} t WHERE {self._planted(name)}")[0][0]
            for name, model in ENTITIES.items()
            if model.__sight__ == "scoped"
        )

    def walk_one(self, person, path):
        """Only the routes that begin so, as one person."""
        self._enter(person, self.visible(person))
        for rule in self.rules:
            if rule.rule.startswith(path):
                self._walk_rule(rule)
        return self.outcome

    def _walk(self, person, visible):
        self._enter(person, visible)
        for rule in self.rules:
            self._walk_rule(rule)
        self._searches()
        self._exports()
        self._figures()
        self._foreign_and_absent()
        self._post()
        self._report_unseen()

    def _enter(self, person, visible):
        self.person, self.account = person, person.name
        self.browser = Browser(self.app, person.user_id)
        self.visible_now, self.allowed_now, self.seen_now = visible, self._allowed(visible), set()

    def _walk_rule(self, rule):
        view = VIEWS.get(rule.endpoint.split(".")[0])
        if rule.arguments - {"pk", "file_id", "attachment_id", "name"} or (rule.arguments and view is None):
            raise AuditFailed(f"{rule.rule}: the audit does not know what to put into it")
        if rule.arguments and model_of(view) is None:
            for key in (1, 2, 3):  # what the door keeps of a person: the first rows there are
                self.open(rule.rule.replace("<int:pk>", str(key)))
        elif rule.arguments:
            self._records(rule, model_of(view))
        else:
            self._pages(rule, view)

    def open(self, url, *, asked=(), status=None):
        """Open a page as this account; whatever canary comes back must be allowed."""
        page = self.browser.open(url)
        if status is not None and page.status != status:
            self.outcome.not_found.append(f"{self.account}: {url} answers {page.status}")
        self.outcome.responses += 1
        if page.status >= 500:  # what tells nothing because it fails is not shown to be safe
            self.outcome.broken.append(f"{self.account}: {url} answers {page.status}")
        told = {*CANARY.findall(page.told)} - set(asked)
        for word in sorted(told - self.allowed_now):
            home = self.home.get(word, ("a row of nobody", None, None))
            self.outcome.out_of_place.append(f"{self.account} reads {word} of {home} on {url}")
        self.seen_now |= told
        return page

    def _pages(self, rule, view):
        """A route without an id: as it is, and in every way its kind is asked."""
        page = self.open(rule.rule)
        if rule.endpoint == "DuplicateView.merge":
            pairs = self.ask("SELECT entity, one_id, other_id FROM duplicate_pair ORDER BY id")
            for entity, one, other in pairs[:: self.thin]:
                self.open(f"{rule.rule}?entity={entity}&ids={one},{other}")
        if page.status != 200:
            return
        if rule.endpoint.endswith(".list") and hasattr(view, "model") and rule.rule not in BY_PERSON:
            self._list(rule.rule, view)
        elif rule.endpoint in FOLLOWED:
            for _ in range(self.pages):
                if (url := page.link_with(rel="next")) is None:
                    break
                page = self.open(url, status=200)
        elif rule.endpoint == "DuplicateView.index":
            for asked in ("contact", "company"):
                url = f"{rule.rule}?entity={asked}"
                for _ in range(self.pages):
                    page = self.open(url)
                    url = page.link_with(rel="next") if page.status == 200 else None
                    if url is None:
                        break
        elif rule.endpoint.endswith(".list") and rule.rule.startswith("/api/"):
            self._api_list(rule.rule, view.record_view.model.__tablename__)
        elif rule.endpoint.endswith(".board"):
            self.open(f"{rule.rule}?owner=me")
            for pipeline_id, kind in self.ask("SELECT id, kind FROM pipeline"):
                if f"/{kind}s/" in rule.rule:
                    more = "".join(f"&cards-{key}=500" for (key,) in self.ask("SELECT id FROM stage"))
                    self.open(f"{rule.rule}?pipeline={pipeline_id}{more}")
        elif rule.endpoint.startswith("ReportView."):
            for period, currency in ((YEAR, "USD"), (f"{YEAR}-02", "EUR")):
                if self.thin == 1 or "pdf" not in rule.rule:
                    self.open(f"{rule.rule}?period={period}&currency={currency}")

    def _list(self, path, view):
        """Every page of a list; on it stand the rows that are allowed, each once, and their number."""
        table, found, url = view.model.__tablename__, [], f"{path}?size={PAGE}&sort=-id"
        first, planted = None, self.first.get(table, 0)
        while url and not (found and found[-1] < planted):
            page = self.open(url, status=200)
            first = first or page
            found += self._rows_on(page, path)
            url = page.link_with(rel="next") if table in self.visible_now else None
        if table in self.visible_now:
            expected = self.visible_now[table]
            shown = sorted(key for key in found if key >= planted)
            self._compare(f"rows of {path}", shown, sorted(expected))
            counted = re.search(r'class="list-count">([^<]+)<(?!a )', first.html)
            said = counted[1].strip().replace(",", "") if counted else ""
            if (number := self._count(table)) < COUNTED:  # of more it may say "so many and more"
                self._compare(f"count of {path}", said, str(number))

    def _api_list(self, path, table):
        found, after, planted = [], "", self.first.get(table, 0)
        while after is not None and not (found and found[-1] < planted):
            page = self.open(f"{path}?size={PAGE}&sort=-id&after={after}", status=200)
            found += [row["id"] for row in page.json["result"]]
            after = page.json["next"]
        shown = sorted(key for key in found if key >= planted)
        self._compare(f"rows of {path}", shown, sorted(self.visible_now[table]))
        if (number := self._count(table)) < COUNTED:
            self._compare(f"count of {path}", page.json["count"], number)

    def _count(self, table):
        """How many rows of a table the person may see, planted or not."""
        return self.ask(f"SELECT COUNT(*) FROM {table} t WHERE {condition(self.person, table)}")[0][0]

    def _rows_on(self, page, path):
        """The ids of the rows of a list page: the links of its table's leading cells."""
        lead = re.findall(r'<td class="lead[^"]*"[^>]*>(.*?)</td>', page.html, re.DOTALL)
        keys = [re.search(rf'href="{path}(\d+)"', cell) for cell in lead]
        return [int(key[1]) for key in keys if key]

    def _records(self, rule, model):
        """A route with an id: for every row there is, seen or foreign."""
        table = model.__tablename__
        for (key,) in self.ask(f"SELECT id FROM {table} t WHERE {self._planted(table)} ORDER BY id"):
            is_foreign = table in self.visible_now and key not in self.visible_now[table]
            turn = key + len(rule.rule) + len(self.account)
            if turn % (self.thin if is_foreign else self.own):
                continue
            if rule.endpoint.endswith(ELSEWHERE_TOO) and turn % self.thin**2:
                continue
            url = self._address(rule, table, key, turn)
            if url is None:
                continue
            page = self.open(url)
            if table not in self.visible_now:
                continue
            is_there, needs_more = page.status not in (403, 404), rule.endpoint.endswith(NEEDS_MORE)
            if is_there and is_foreign:
                self.outcome.out_of_place.append(f"{self.account}: {page.url} answers {page.status}")
            if not (is_there or is_foreign or needs_more or "Import" in rule.endpoint):
                self.outcome.not_found.append(f"{self.account}: {page.url} answers {page.status}")

    def _address(self, rule, table, key, turn):
        """The address of a row by this rule; None where it needs something else of the row, which has none of it."""
        url = rule.rule.replace("<int:pk>", str(key))
        if "<name>" in url:
            view = VIEWS[rule.endpoint.split(".")[0]]
            is_related = rule.endpoint.endswith(".search_related")
            names = view.related if is_related else [column.name for column in ENTITIES[table].__table__.c]
            url = url.replace("<name>", names[turn % len(names)])
        for name, its in (
            ("<int:attachment_id>", f"attachment WHERE entity = '{table}' AND record_id = {key}"),
            ("<int:file_id>", f"job_file WHERE job_id = {key}"),
        ):
            if name in url:
                found = self.ask(f"SELECT id FROM {its} ORDER BY id LIMIT 1")
                if not found:
                    return None
                url = url.replace(name, str(found[0][0]))
        return url

    # ---- searching

    def _searches(self):
        """Ask every list for words of rows, own and foreign: by its search box, its filters, and as a picker."""
        turn = count()
        for word, (table, key, column) in self.home.items():
            if next(turn) % self.step:
                continue
            if table == "search_entry":
                self._search(word, key)
            elif table in MAIN:
                self._filter(word, table, key, column)

    def _search(self, word, entry_id):
        ((table, key),) = self.ask(f"SELECT entity, record_id FROM search_entry WHERE id = {entry_id}")
        view = next(view for view in VIEWS.values() if getattr(view, "model", None) is ENTITIES[table])
        page = self.open(f"{view.route_base}/?q={word}", asked=[word])
        picked = self.open(f"{view.route_base}/pick?q={word}", asked=[word])
        is_seen = key in self.visible_now[table]
        if page.status == 200:
            found = self._rows_on(page, f"{view.route_base}/")
            self._compare(f"{word} searched on {view.route_base}", found, [key] * is_seen)
            found = [one["id"] for one in picked.json]
            self._compare(f"{word} picked on {view.route_base}", found, [key] * is_seen)
        elif is_seen:
            self.outcome.not_found.append(f"{self.account}: {page.url} answers {page.status}")
        if is_seen and page.status == 200:
            self.seen_now.add(word)

    def _filter(self, word, table, key, column):
        view = next(view for view in VIEWS.values() if getattr(view, "model", None) is ENTITIES[table])
        page = self.open(f"{view.route_base}/?{column}.has={word}", asked=[word])
        if page.status == 200:
            expected = [key] if key in self.visible_now[table] else []
            found = self._rows_on(page, f"{view.route_base}/")
            self._compare(f"{column}.has={word} on {view.route_base}", found, expected)

    # ---- files

    def _exports(self):
        """Every list as a file of every kind, with all its columns."""
        exports = [rule for rule in self.rules if rule.endpoint.endswith(".export")]
        for turn, rule in enumerate(exports, start=len(self.account)):
            if turn % max(1, self.thin // 8):  # where time is short, not every one by everybody
                continue
            table = VIEWS[rule.endpoint.split(".")[0]].model.__tablename__
            for kind in ("csv", "xlsx", *(("vcf",) if table == "contact" else ())):
                page = self.open(f"{rule.rule}?format={kind}&columns=all&id.min={self.first.get(table, 0)}")
                if page.status == 200 and table in MAIN and kind == "csv":
                    rows = sum(1 for _ in csv.reader(io.StringIO(page.html))) - 1
                    self._compare(f"rows exported from {rule.rule}", rows, self._exportable(table))

    def _exportable(self, table):
        """How many planted rows the person may take along."""
        asked = f"SELECT t.id FROM {table} t WHERE {people.taken(self.person, table)}"
        return len(self.visible_now[table].intersection(key for (key,) in self.ask(asked)))

    # ---- mails

    def _post(self):
        """Ask for a customer of somebody else's: what is written to him tells him nothing that is not his."""
        key = self._foreign("company")
        if key is None:
            return
        (last,) = self.ask("SELECT COALESCE(MAX(id), 0) FROM outbox_message")[0]
        ((name,),) = self.ask(f"SELECT name FROM company WHERE id = {key}")
        said = {"meant_name": name, "sealed_reason": "audit", "csrf_token": self.browser.token}
        self.browser.open("/companies/ask", method="POST", data=said)
        self.outcome.responses += 1
        mails = self.ask(f"SELECT owner_id, payload FROM outbox_message WHERE id > {last}")
        for owner, payload in mails:
            self.outcome.mails += 1
            for word in sorted({*CANARY.findall(str(payload))} - {name}):
                self.outcome.out_of_place.append(f"a mail to {owner} tells {word} of {self.home.get(word)}")

    # ---- figures

    def _figures(self):
        self._board("deal", "amount")
        self._board("ticket", None)
        self._campaign_counts()
        self._report()

    def _compare(self, what, shown, expected):
        self.outcome.figures += 1
        if shown != expected:
            self.outcome.wrong_figures.append(f"{self.account}: {what} says {shown}, not {expected}")

    def _board(self, table, amount):
        for (pipeline,) in self.ask(f"SELECT id FROM pipeline WHERE kind = '{table}' ORDER BY id"):
            self._board_of(table, amount, pipeline)

    def _board_of(self, table, amount, pipeline):
        page = self.open(f"/{table}s/board?pipeline={pipeline}")
        if page.status != 200:
            return
        columns = re.findall(
            r'data-stage-id="(\d+)".*?data-count>(\d+)<.*?data-sums>([^<]*)<', page.html, re.DOTALL
        )
        shown = {int(key): (int(number), sums.strip()) for key, number, sums in columns}
        for (stage_id,) in self.ask(f"SELECT s.id FROM stage s WHERE s.pipeline_id = {pipeline}"):
            cents = f"SUM(CAST(ROUND(t.{amount} * 100) AS BIGINT))" if amount else "NULL"
            currency = "t.currency" if amount else "t.stage_id"
            found = self.ask(
                f"SELECT {currency}, COUNT(*), {cents} FROM {table} t "
                f"WHERE t.stage_id = {stage_id} AND ({condition(self.person, table)}) GROUP BY {currency} ORDER BY 1"
            )
            number = sum(row[1] for row in found)
            sums = " · ".join(self._money(row[2], row[0]) for row in found if amount)
            self._compare(f"stage {stage_id} of {page.url}", shown.get(stage_id), (number, sums))

    def _money(self, cents, currency="EUR"):
        return format_currency(Decimal(int(cents)) / 100, currency, locale="en")

    def _campaign_counts(self):
        for key in self.visible_now["campaign"]:
            page = self.open(f"/campaigns/{key}")
            if page.status != 200:
                continue
            shown = [int(text) for text in re.findall(r'class="stat-value">(\d+)<', page.html)][:4]
            members = f"FROM campaign_member WHERE campaign_id = {key}"
            found = dict(self.ask(f"SELECT status, COUNT(*) {members} GROUP BY status"))
            numbers = [found.get(status, 0) for status in ("planned", "reached", "answered")]
            self._compare(f"members of {page.url}", shown, [sum(numbers), *numbers])

    def _report(self):
        """Won, lost and revenue of the year stand in the report, on the page and in the PDF, as plain SQL sums them."""
        page = self.open(f"/reports/sales?period={YEAR}&currency=EUR")
        if page.status != 200:
            return
        paper = self.open(f"/reports/sales.pdf?period={YEAR}&currency=EUR")
        texts = {"page": page.text, "paper": paper.told}
        deal, invoice = (condition(self.person, table) for table in ("deal", "invoice"))
        year = f"BETWEEN '{YEAR}-01-01' AND '{YEAR}-12-31'"
        of_outcome = "t.stage_id IN (SELECT id FROM stage WHERE outcome = 'won')"
        sums = {
            "won": f"SELECT SUM(CAST(ROUND(t.amount * 100) AS BIGINT)) FROM deal t WHERE ({deal}) AND {of_outcome} "
            f"AND t.currency = 'EUR' AND t.closed_on {year}",
            "revenue": f"SELECT SUM(CAST(ROUND(t.net * 100) AS BIGINT)) FROM invoice t WHERE ({invoice}) "
            f"AND t.currency = 'EUR' AND t.issued_on {year}",
        }
        for name, statement in sums.items():
            cents = self.ask(statement)[0][0]
            if not cents:
                continue  # where there is nothing, the report says so in words
            expected = self._money(cents)
            for where, text in texts.items():
                said = expected if expected in text else "something else"
                self._compare(f"{name} on the report's {where}", said, expected)
        owners = self.ask(
            "SELECT s.name, SUM(CAST(ROUND(t.net * 100) AS BIGINT)) FROM invoice t JOIN staff s ON s.id = t.owner_id "
            f"WHERE ({invoice}) AND t.currency = 'EUR' AND t.issued_on {year} GROUP BY s.name"
        )
        for name, cents in owners:
            row = re.search(rf"{re.escape(name)}.{{0,20}} {re.escape(self._money(cents))}", texts["page"])
            self._compare(f"revenue of {name}", bool(row), True)

    # ---- foreign and absent

    def _foreign_and_absent(self):
        """An id that is foreign and one that does not exist get the same answer, whatever is asked of it."""
        absent, token = 1_999_999_999, {"X-CSRFToken": self.browser.token}
        for turn, rule in enumerate(self.app.url_map.iter_rules(), start=len(self.account)):
            view = VIEWS.get(rule.endpoint.split(".")[0])
            if "pk" not in rule.arguments or turn % self.thin:
                continue
            model = model_of(view)
            foreign = self._foreign(model.__tablename__) if model is not None else None
            if foreign is None:
                continue
            for method in sorted(rule.methods - {"OPTIONS", "HEAD"}):
                answers = []
                for key in (foreign, absent):
                    url = re.sub(r"<int:\w+>", "1", rule.rule.replace("<int:pk>", str(key)))
                    body = {"json": {"version": 1}} if url.startswith("/api/") and method != "GET" else {}
                    headers = token if method != "GET" else {}
                    page = self.browser.open(url, method=method, headers=headers, **body)
                    answers.append((page.status, page.location, self._normal(page.html, key)))
                    self.outcome.responses += 1
                self.outcome.pairs += 1
                if answers[0] != answers[1]:
                    self.outcome.told_apart.append(
                        f"{self.account}: {method} {rule.rule} tells {foreign} from none"
                    )

    def _foreign(self, table):
        if table not in self.visible_now:
            return None
        planted = self.ask(f"SELECT id FROM {table} t WHERE {self._planted(table)}")
        keys = {key for (key,) in planted} - self.visible_now[table]
        return min(keys, default=None)

    def _normal(self, html, key):
        """The answer without what differs by nature: the id that was asked for, and the form's token."""
        html = re.sub(r'(csrf[-_]token" (?:value|content)=)"[^"]*"', r"\1", html)
        return re.sub(rf"(?<=/){key}\b", "ID", html)

    # ---- what was allowed, but not found

    def _report_unseen(self):
        if self.own > 1:
            return  # not everything that may be seen was opened
        for word in sorted(self.allowed_now - self.seen_now):
            table, key, column = self.home[word]
            if table == "search_entry" and self.step > 1:
                continue  # not every word was searched for
            if (table.removesuffix("'s history"), column) in self.person.hidden:
                continue  # some grant of his hides it: then it may be kept from him where another shows it
            if self._is_shown(table, column):
                self.outcome.not_found.append(f"{self.account} never sees {word} of {table} {key} ({column})")

    def _is_shown(self, table, column):
        return (table, column) not in NOT_SHOWN


# Written once and handed on by other ways than a page, or shown only while a job is running or has failed.
NOT_SHOWN = {
    ("job", "note"),
    ("job", "error"),
    ("outbox_message", "address"),
    ("outbox_message", "error"),
}
