"""The invoice as its reader sees it."""

from datetime import date
from decimal import Decimal

import pytest

from app.audit.papers import pages_of
from app.documents.invoice import invoice_pdf
from app.models import Invoice
from tests.documents.paper import invoice, line


def read(*lines, language="en", **values):
    return pages_of(invoice_pdf(invoice(*lines, **values), language=language))


def test_it_says_who_whom_when_and_how_much():
    (text,) = read(line(), line(2, price="10", quantity="1.5", discount="0.125", percent="7"))
    for part in (
        "Foyer Trading Ltd",
        "1 Harbour Street",
        "GB 123 4567 89",
        "Ernst Handel Kirchgasse 6 8010 Graz Austria",
        "ATU12345678",
        "INV-2026-00042",
        "Mar 4, 2026",
        "Mar 18, 2026",
        "IBAN GB33 BUKB 2020 1555 5555 55",
        "Page 1 of 1",
    ):
        assert part in text


def test_lines_stand_with_discount_and_tax():
    (text,) = read(line(), line(2, price="10.1234", quantity="1.5", discount="0.125", percent="7"))
    assert "1 Chartreuse verte, case 1 2 bottle 18.00 20% 36.00" in text
    assert "2 Chartreuse verte, case 2 1.5 bottle 10.1234 12.5% 7% 13.29" in text


def test_sums_stand_to_the_cent_with_the_tax_of_each_rate():
    (text,) = read(line(), line(2, price="10.1234", quantity="1.5", discount="0.125", percent="7"), line(3))
    for part in (
        "Subtotal 85.29",
        "Tax 7% on 13.29 0.93",
        "Tax 20% on 72.00 14.40",
        "Total €100.62",
        "Please pay €100.62 by Mar 18, 2026 and name the invoice number INV-2026-00042.",
    ):
        assert part in text


def test_sixty_lines_repeat_the_head_and_count_the_pages():
    seen = read(*(line(number) for number in range(1, 61)))
    assert len(seen) >= 3
    for number, text in enumerate(seen, start=1):
        assert f"Page {number} of {len(seen)}" in text
        assert "Pos. Description Quantity Unit Price Disc. Tax Net EUR" in text
        assert "INV-2026-00042" in text
    assert all(f"{number} Chartreuse verte, case {number} 2" in " ".join(seen) for number in range(1, 61))
    assert "Total €2,592.00" in seen[-1]


@pytest.mark.parametrize("count", range(12, 36, 4))
def test_the_sums_never_stand_alone_on_a_page(count):
    last = read(*(line(number) for number in range(1, count + 1)))[-1]
    assert f"case {count}" in last
    assert "Total €" in last


def test_the_widest_amounts_do_not_run_into_each_other():
    (text,) = read(line(price="1234567890.1234", quantity="123.456", discount="0.1255", percent="8.375"))
    assert "123.456 bottle 1,234,567,890.1234 12.55% 8.375% 133,286,754,355.97" in text


def test_long_texts_are_broken_not_cut():
    long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 3
    text = " ".join(read(line(description=long.strip()), billed_to=long.strip()[:160]))
    assert text.replace(" ", "").count(long.strip().replace(" ", "")) == 1


def test_what_people_wrote_is_text_and_not_markup():
    (text,) = read(line(description="<b>Tea</b> & <img src=x>"), billed_to="<h1>Ernst</h1>")
    assert "<b>Tea</b> & <img src=x>" in text
    assert "<h1>Ernst</h1>" in text


def test_names_of_every_alphabet_can_be_read():
    (text,) = read(line(), billed_to="Вологодский хладокомбинат · Ελληνική Εταιρεία · Łódź Škoda")
    assert "Вологодский хладокомбинат · Ελληνική Εταιρεία · Łódź Škoda" in text


def test_a_german_house_writes_its_numbers_as_germans_do():
    (text,) = read(line(price="1234.5", quantity="1"), language="de")
    assert "1.234,50" in text
    assert "18.03.2026" in text


def test_an_invoice_without_the_optional_facts_is_whole():
    nothing = dict.fromkeys(("billing_address", "billing_tax_id", "seller_address", "seller_bank"))
    (text,) = read(line(unit=None, percent="0"), **nothing, seller_tax_id=None)
    assert "Total €36.00" in text
    assert "None" not in text


def test_drawn_again_it_is_the_same():
    row = invoice(line())
    assert invoice_pdf(row) == invoice_pdf(row)


def test_a_draft_is_not_drawn():
    with pytest.raises(ValueError, match="only an issued invoice"):
        invoice_pdf(Invoice(lines=[line()], issued_on=date(2026, 3, 4), gross=Decimal(1)))
