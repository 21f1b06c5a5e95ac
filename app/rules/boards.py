"""The order of cards on a board: each has a position in its stage, between those of its neighbours."""

from contextlib import nullcontext

from sqlalchemy import func, or_, select

from app.extensions import N_
from app.models import Pipeline, Stage
from app.rules import RuleBroken

STEP = 1024.0  # between two cards that nobody squeezed anything between yet
NARROWEST = 1e-6  # a gap below this has no room left; the stage is then numbered anew


def first_stage(session, kind):
    """Where a new card of this kind (“deal”, “ticket”) starts: the first open stage of the first pipeline."""
    stage = session.scalars(
        select(Stage)
        .join(Stage.pipeline)
        .where(Pipeline.kind == kind, Stage.outcome == "open")
        .order_by(Pipeline.position, Pipeline.id, Stage.position, Stage.id)
    ).first()
    if stage is None:
        raise RuleBroken(N_("There is no pipeline with an open stage yet; an administrator can add one."))
    return stage


def stage_for(session, card, outcome):
    """The first stage of the card's own pipeline that stands for this outcome."""
    stage = session.scalars(
        select(Stage)
        .where(Stage.pipeline_id == card.stage.pipeline_id, Stage.outcome == outcome)
        .order_by(Stage.position, Stage.id)
    ).first()
    if stage is None:
        raise RuleBroken(
            N_("The pipeline “%(pipeline)s” has no stage for this; an administrator can add one."),
            pipeline=str(card.stage.pipeline),
        )
    return stage


def place(session, card, stage, *, before=None, after=None):
    """Put a deal or ticket into a stage, directly before or after another card, or at the end.

    A neighbour that has meanwhile left the stage counts as none.
    Only the order changes here: what a stage means for the card (won, solved) is for the rules of the card.
    """
    if stage.pipeline.kind != card.__tablename__:
        raise RuleBroken(N_("“%(card)s” cannot stand in “%(stage)s”."), card=str(card), stage=str(stage))
    # A new card has no stage yet and could not be saved just to look at the others.
    with session.no_autoflush if card in session.new else nullcontext():
        position = _position(session, card, stage, before, after)
    card.stage, card.position = stage, position


def _position(session, card, stage, before, after):
    neighbour, is_before = (before, True) if _stands_in(before, stage, card) else (after, False)
    if not _stands_in(neighbour, stage, card):
        return (session.scalar(_others(card, stage, func.max(type(card).position))) or 0.0) + STEP
    low, high = _gap(session, card, stage, neighbour, is_before)
    if high - low < NARROWEST:
        _number_anew(session, card, stage)
        low, high = _gap(session, card, stage, neighbour, is_before)
    return (low + high) / 2


def _stands_in(neighbour, stage, card):
    return neighbour is not None and neighbour is not card and neighbour.stage is stage


def _others(card, stage, what):
    model = type(card)
    cards = select(what).where(model.stage_id == stage.id)
    return cards if card.id is None else cards.where(model.id != card.id)


def _gap(session, card, stage, neighbour, is_before):
    """The positions between which the card comes: the neighbour's, and that of the next on its other side."""
    model = type(card)
    here = neighbour.position
    if is_before:
        further = or_(model.position < here, (model.position == here) & (model.id < neighbour.id))
        low = session.scalar(_others(card, stage, func.max(model.position)).where(further))
        return (here - 2 * STEP if low is None else low), here
    further = or_(model.position > here, (model.position == here) & (model.id > neighbour.id))
    high = session.scalar(_others(card, stage, func.min(model.position)).where(further))
    return here, (here + 2 * STEP if high is None else high)


def _number_anew(session, card, stage):
    """Even steps again, in the order that stands. Only cards that the session may see are touched."""
    model = type(card)
    cards = session.scalars(_others(card, stage, model).order_by(model.position, model.id)).all()
    for place_, other in enumerate(cards, start=1):
        other.position = place_ * STEP
    session.flush()
