"""What an import may do to each entity beside filling columns: where new records begin, and what only deeds may change.

A deal's or ticket's way through its stages goes through the rules of its domain, one by one and under the same rights
as on its page; what a rule would refuse is refused in the plan already.
"""

from sqlalchemy import func, select

from app import access
from app.exchange.importing.lookups import in_chunks
from app.extensions import N_
from app.models import ENTITIES, Deal, DealLine, Invoice, Stage, Ticket
from app.rules import boards, deals, tickets


class Law:
    """The law of an entity without any of its own."""

    needs = ()  # columns of a row that its checks look at

    def __init__(self, entity, desk):
        self.entity, self.model, self.desk = entity, ENTITIES[entity], desk
        self.principal = desk.principal

    def defaults(self):
        """With what a new record begins, where the file says nothing."""
        values = {
            column.name: column.default.arg
            for column in self.model.__table__.c
            if column.default is not None and column.default.is_scalar and not column.info.get("stamped")
        }
        if hasattr(self.model, "department_id"):
            values |= {"department_id": self.desk.department_id, "owner_id": self.principal.id}
        if hasattr(self.model, "currency"):
            values["currency"] = self.desk.currency
        return values

    def look(self, ids):
        """Learn what the checks of these rows need, in a few statements."""

    def check_new(self, values):
        """Yield (column, message, values) for what forbids this record; take out what deeds will do."""
        return ()

    def check_edit(self, row, changes):
        """The same for changes of a row: `row` is how it stands."""
        return ()

    def deed_of(self, values, row=None):
        """What is left to do once the columns are written: taken out of `values`; None: nothing."""
        return None

    def do(self, session, key, deed):
        """Do it, by the rules."""


class CampaignLaw(Law):
    needs = ("starts_on", "ends_on")

    def check_new(self, values):
        return self._check(values)

    def check_edit(self, row, changes):
        return self._check({**row, **changes})

    def _check(self, values):
        starts, ends = values.get("starts_on"), values.get("ends_on")
        if starts and ends and ends < starts:
            yield "ends_on", N_("It cannot end before it starts."), {}


class CardLaw(Law):
    """Deals and tickets: they stand in a stage, and at a place in it."""

    needs = ("stage_id",)

    def __init__(self, entity, desk):
        super().__init__(entity, desk)
        self.stages = {stage.id: stage for stage in desk.session.scalars(select(Stage))}
        self.first = boards.first_stage(desk.session, entity)
        self.pipelines = {stage.id: stage.pipeline_id for stage in self.stages.values()}
        self._last = {}

    def defaults(self):
        return {**super().defaults(), "stage_id": self.first.id}

    def end_of(self, stage_id):
        """The next place at the end of a stage: asked once, counted on from there."""
        if stage_id not in self._last:
            highest = select(func.max(self.model.position)).where(self.model.stage_id == stage_id)
            self._last[stage_id] = self.desk.session.scalar(highest) or 0.0
        self._last[stage_id] += boards.STEP
        return self._last[stage_id]

    def begin_in(self, stage_id):
        """The open stage in which a record begins that is to end in this one."""
        if self.stages[stage_id].outcome == "open":
            return stage_id
        pipeline = self.pipelines[stage_id]
        open_ones = [
            one for one in self.stages.values() if one.pipeline_id == pipeline and one.outcome == "open"
        ]
        return min(open_ones, key=lambda one: (one.position, one.id)).id if open_ones else None

    def check_stage(self, stage_id, verbs):
        stage = self.stages[stage_id]
        verb = verbs.get(stage.outcome)
        if verb and not self.principal.may(verb, self.entity):
            yield "stage_id", N_("You may not put anything into “%(stage)s”."), {"stage": stage.name}
        elif self.begin_in(stage_id) is None:
            yield "stage_id", N_("Its pipeline has no open stage."), {}


class DealLaw(CardLaw):
    needs = ("stage_id", "amount", "company_id", "currency", "opened_on", "closed_on", "lost_reason")
    verbs = {"won": "win", "lost": "lose"}

    def defaults(self):
        return {**super().defaults(), "opened_on": self.desk.today}

    def look(self, ids):
        self.with_lines, self.invoiced = set(), set()
        for chunk in in_chunks(ids):
            lines = select(DealLine.deal_id).where(DealLine.deal_id.in_(chunk)).distinct()
            self.with_lines.update(self.desk.session.scalars(lines))
        if ids:
            # Asked for everybody: whether there is an invoice matters also to those who may not see it.
            with access.system_session("which deals are invoiced", writes=False) as session:
                for chunk in in_chunks(ids):
                    self.invoiced.update(
                        session.scalars(select(Invoice.deal_id).where(Invoice.deal_id.in_(chunk)))
                    )

    def check_new(self, values):
        yield from self.check_stage(values["stage_id"], self.verbs)
        yield from self._check_end(values, values)

    def check_edit(self, row, changes):
        stands = {**row, **changes}
        if "stage_id" in changes:
            old, new = self.stages[row["stage_id"]].outcome, self.stages[changes["stage_id"]].outcome
            yield from self.check_stage(changes["stage_id"], self.verbs)
            if old != "open" and new != "open":
                yield "stage_id", N_("It is closed already; take it up again first."), {}
            elif old != "open" and row["id"] in self.invoiced:
                yield "stage_id", N_("It has been invoiced and stays as it is."), {}
            yield from self._check_end(stands, changes)
        elif {"closed_on", "lost_reason"} & set(changes):
            name = "closed_on" if "closed_on" in changes else "lost_reason"
            yield name, N_("This follows from the stage in which a deal ends, and changes only with it."), {}
        elif "opened_on" in changes and row["closed_on"] and row["closed_on"] < changes["opened_on"]:
            yield "opened_on", N_("The deal was closed before this day."), {}
        if "amount" in changes and row["id"] in self.with_lines:
            yield "amount", N_("The amount follows from the lines of the deal."), {}
        for name in deals.BILLED:
            if name in changes and row["id"] in self.invoiced:
                yield name, N_("It has been invoiced: this stays as it was billed."), {}

    def _check_end(self, stands, given):
        outcome = self.stages[stands["stage_id"]].outcome
        if outcome == "open":
            for name in ("closed_on", "lost_reason"):
                if given.get(name):
                    yield name, N_("A deal in an open stage has no end yet."), {}
            return
        if outcome == "lost" and not (stands.get("lost_reason") or "").strip():
            yield "lost_reason", N_("A lost deal needs the reason."), {}
        closed = stands.get("closed_on") or self.desk.today
        if closed > self.desk.today:
            yield "closed_on", N_("%(day)s is a day to come."), {"day": closed.isoformat()}
        if stands.get("opened_on") and closed < stands["opened_on"]:
            yield "closed_on", N_("It ends before it begins."), {}

    def deed_of(self, values, row=None):
        closed_on, reason = values.pop("closed_on", None), values.pop("lost_reason", None)
        if "stage_id" not in values:
            return None
        if row is not None:
            return {"stage_id": values.pop("stage_id"), "closed_on": closed_on, "reason": reason}
        stage_id = values["stage_id"]
        values["stage_id"] = self.begin_in(stage_id)
        values["position"] = self.end_of(values["stage_id"])
        if self.stages[stage_id].outcome == "open":
            return None
        return {"stage_id": stage_id, "closed_on": closed_on, "reason": reason}

    def do(self, session, key, deed):
        day = deed["closed_on"] or self.desk.today
        deal, stage = session.get(Deal, key), session.get(Stage, deed["stage_id"])
        deals.move(session, deal, stage, by=self.principal.id, today=day, reason=deed["reason"])


class TicketLaw(CardLaw):
    verbs = {"solved": "solve"}

    def check_new(self, values):
        yield from self.check_stage(values["stage_id"], self.verbs)

    def check_edit(self, row, changes):
        if "stage_id" in changes:
            yield from self.check_stage(changes["stage_id"], self.verbs)
            if "open" not in (self.stages[one].outcome for one in (row["stage_id"], changes["stage_id"])):
                yield "stage_id", N_("It is closed already; take it up again first."), {}

    def deed_of(self, values, row=None):
        if "stage_id" not in values:
            return None
        if row is not None:
            return {"stage_id": values.pop("stage_id")}
        stage_id = values["stage_id"]
        values["stage_id"] = self.begin_in(stage_id)
        values["position"] = self.end_of(values["stage_id"])
        return None if values["stage_id"] == stage_id else {"stage_id": stage_id}

    def do(self, session, key, deed):
        ticket, stage = session.get(Ticket, key), session.get(Stage, deed["stage_id"])
        tickets.move(session, ticket, stage, now=self.desk.now)


LAWS = {"campaign": CampaignLaw, "deal": DealLaw, "ticket": TicketLaw}


def law_of(entity, desk):
    return LAWS.get(entity, Law)(entity, desk)
