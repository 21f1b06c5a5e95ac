"""The formats of `app/formats.py` for whoever reads this page: in the reader's language and on the house's clock."""

from datetime import datetime

from flask import current_app

from app import formats
from app.views.templating import locale as _locale


def money(value, currency):
    return formats.money(value, currency or current_app.config["SETTINGS"].CURRENCY, _locale())


def day(value):
    return formats.day(value, _locale())


def moment(value):
    return formats.moment(value, _locale(), current_app.config["SETTINGS"].TIMEZONE)


def number(value):
    return formats.number(value, _locale())


def percent(value):
    return formats.percent(value, _locale())


def price(value):
    return formats.price(value, _locale())


def rate(value):
    return formats.rate(value, _locale())


def today():
    """The date on the house's clock."""
    return datetime.now(current_app.config["SETTINGS"].zone).date()


FILTERS = {
    "money": money,
    "day": day,
    "moment": moment,
    "number": number,
    "percent": percent,
    "price": price,
    "rate": rate,
}
