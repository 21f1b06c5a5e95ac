"""Approvals: an export above the set size waits for a head, who lets exactly this question out, once, for some days.

Whoever approves for the whole house (a director) needs nobody's word. A head asks those above him; only where there is
nobody but himself he decides for himself, and the ledger says so.
"""

from datetime import timedelta

from sqlalchemy import func, select

from app import access, roles
from app.extensions import N_
from app.models import Approval
from app.rules import RuleBroken, heads, values

VALID = timedelta(days=3)  # after the word was given
LONGEST = Approval.__table__.c.reason.type.length


def needs_one(principal, rows, most):
    """Whether somebody else's word is needed for so many rows; `most` 0: never."""
    if not most or rows <= most or principal.is_system:
        return False
    return not any(grant.reach == roles.ALL for grant in principal.grants_for("edit", "approval"))


def rows_of(session, model, statement, most):
    """How many rows a SELECT of a model brings; counted to the end only where it is more than `most`."""
    ids = statement.with_only_columns(model.id).order_by(None)
    some = session.scalar(select(func.count()).select_from(ids.limit(most + 1).subquery()))
    return some if some <= most else session.scalar(select(func.count()).select_from(ids.subquery()))


def of_question(session, principal, question, now):
    """The newest approval of the principal for exactly this question that still counts: waiting, or granted lately."""
    mine = (Approval.owner_id == principal.id, Approval.question == question)
    found = session.scalars(select(Approval).where(*mine).order_by(Approval.id.desc()).limit(1)).first()
    if found is None or found.state == "waiting" or is_open(found, now):
        return found
    return None


def is_open(approval, now):
    """Whether the export may go now."""
    return approval.state == "granted" and approval.decided_at + VALID > now


def ask(session, principal, *, entity, question, rows, reason):
    """Ask for the word of those above; raises RuleBroken without a reason."""
    approval = Approval(
        owner_id=principal.id,
        department_id=principal.department_id,
        entity=entity,
        question=question,
        rows=rows,
        reason=_text(reason, N_("Say why: whoever reads it later needs the reason."), "reason"),
    )
    session.add(approval)
    session.flush()
    return approval


def deciders(approval):
    """The ids of those who decide it, the nearest first: never whoever asked, unless there is nobody else."""
    with access.system_session("who approves", writes=False) as session:
        found = [one.id for one in heads.of(session, approval.department_id)]
    return [key for key in found if key != approval.owner_id] or found


def decide(approval, by, *, grant, answer, now):
    """Grant it or refuse it. The guard has the last word on whether `by` may; a refusal says why."""
    if approval.state != "waiting":
        raise RuleBroken(N_("This was decided already."))
    if by.id == approval.owner_id and by.id not in deciders(approval):
        raise RuleBroken(N_("Nobody approves what he asked for himself, while there is somebody above him."))
    approval.answer = _text(answer, None if grant else N_("Say why not."), "answer")
    approval.state = "granted" if grant else "refused"
    approval.decided_by_id, approval.decided_at = by.id, now


def _text(text, needed, field):
    text = values.one_line(text or "").strip()
    if not text and needed:
        raise RuleBroken(needed, field=field)
    values.check_storable(text)
    if len(text) > LONGEST:
        raise RuleBroken(N_("At most %(most)s letters."), field=field, most=LONGEST)
    return text or None


def use(approval_id):
    """The export goes now, and the word with it: once, committed at once, whoever else tries the same moment."""
    with access.system_session("an approved export goes", door="page") as session:
        session.get(Approval, approval_id).state = "used"
