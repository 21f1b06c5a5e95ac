"""What can be imported: the fields of each entity, what files call them, and what tells records apart."""

import re
from dataclasses import dataclass

from sqlalchemy import Column

from app.extensions import N_
from app.models import ENTITIES
from app.search import fold

# In the order in which people bring them. Invoices are never imported: they are drafted from won deals, and numbered.
TARGETS = ("company", "contact", "deal", "ticket", "activity", "campaign", "product")
# Written by deeds elsewhere, but an import may bring them: the rules of the deed then hold (`laws`).
BROUGHT = {"deal": ("closed_on", "lost_reason"), "activity": ("done_at",)}
ID, KEY, FULL_NAME = "id", "key", "full_name"


@dataclass(frozen=True)
class Field:
    """Something that a column of a file can become."""

    name: str
    label: str
    kind: str  # id, key, full_name, link, value, custom
    column: Column | None = None
    custom: object = None  # the CustomField

    @property
    def target(self):
        """The entity that a link leads to."""
        return next(iter(self.column.foreign_keys)).column.table.name if self.kind == "link" else None


def fields_of(entity, custom_fields=()):
    """Name -> field, in reading order."""
    model = ENTITIES[entity]
    brought = BROUGHT.get(entity, ())
    fields = {
        ID: Field(ID, N_("No."), "id"),
        KEY: Field(KEY, N_("Their id"), "key"),
    }
    if entity == "contact":
        fields[FULL_NAME] = Field(FULL_NAME, N_("Full name"), "full_name")
    for column in model.__table__.c:
        info = column.info
        is_ours = not info.get("label") or info.get("stamped") or info.get("custom") or column.name == "id"
        is_deed = info.get("deed") and column.name not in brought
        if is_ours or is_deed or column.name == "position":
            continue
        kind = "link" if column.foreign_keys else "value"
        fields[column.name] = Field(column.name, info["label"], kind, column)
    for one in custom_fields:
        fields[f"custom.{one.name}"] = Field(f"custom.{one.name}", str(one), "custom", custom=one)
    return fields


def required_of(entity):
    """The columns that a new record cannot do without, less those that have a beginning of their own."""
    given = {"department_id", "owner_id", "currency", "stage_id", "opened_on", "position", "id"}
    return [
        column.name
        for column in ENTITIES[entity].__table__.c
        if not column.nullable
        and column.default is None
        and not column.info.get("stamped")
        and not column.info.get("custom")
        and column.name not in given
    ]


# By what records of an entity can be told apart, best first; an import takes the first whose fields are all there.
MATCHES = {
    "company": [("id",), ("key",), ("vat_id",), ("name", "city"), ("name",), ("email",)],
    "contact": [
        ("id",),
        ("key",),
        ("email",),
        ("first_name", "last_name", "company_id"),
        ("first_name", "last_name", "birth_date"),
        ("first_name", "last_name"),
    ],
    "deal": [("id",), ("key",), ("name", "company_id"), ("name",)],
    "ticket": [("id",), ("key",), ("subject", "company_id"), ("subject",)],
    "activity": [("id",), ("key",), ("subject", "kind", "due_on", "contact_id", "company_id"), ("subject",)],
    "campaign": [("id",), ("key",), ("name",)],
    "product": [("id",), ("key",), ("sku",), ("name",)],
}
# What, alike in a new record and an old one, is worth a warning; people and companies are compared by scores.
ALIKE = {"product": [("sku",), ("name",)]}

# Words of headers, folded, in English, German and French; the field's own name and label are known without them.
WORDS = {
    "id": "foyer id, record id, record no, no.",
    "key": "external id, externe id, their id, their key, legacy id, source id, rec id, uid, identifiant",
    "full_name": "full name, contact name, name, ansprechpartner, kontaktname, nom complet, display name",
    "first_name": "first name, firstname, given name, givenname, forename, vorname, prenom",
    "last_name": "last name, lastname, surname, family name, familyname, nachname, familienname, nom",
    "job_title": "job title, title, position, function, funktion, role, beruf, poste, fonction, contact title, job",
    "company_id": "company, company name, account, account name, organisation, organization, organization name, firma, "
    "firmenname, unternehmen, kunde, customer, client, societe, entreprise, companyname, employer, arbeitgeber",
    "contact_id": "contact, contact person, person, ansprechpartner, kontakt, personne",
    "supplier_id": "supplier, vendor, lieferant, fournisseur",
    "email": "e-mail, email, mail, e mail address, email address, mail address, e-mail-adresse, emailadresse, "
    "mailadresse, courriel, adresse e-mail, e-mail 1 - value, adresse mail",
    "phone": "phone, telephone, tel, phone number, telefon, telefonnummer, festnetz, rufnummer, numero de telephone, "
    "business phone, work phone, phone 1 - value, telefon geschaftlich",
    "mobile": "mobile, mobile phone, cell, cell phone, cellphone, handy, handynummer, mobil, mobiltelefon, portable",
    "fax": "fax, fax number, telefax, telecopie, faxnummer, business fax",
    "website": "website, web site, web, url, homepage, home page, web page, internet, webseite, site web",
    "vat_id": "vat, vat id, vat number, vat no, ust-id, ust-idnr, ustid, umsatzsteuer-id, tva, numero tva, tax id",
    "street": "street, address, address 1, address line 1, street address, strasse, anschrift, adresse, rue, "
    "business street, street and number, strasse und hausnummer",
    "postal_code": "postal code, postcode, post code, zip, zip code, plz, postleitzahl, code postal, zip/postal code",
    "city": "city, town, ort, stadt, ville, suburb, business city, wohnort, place",
    "region": "region, state, province, bundesland, kanton, county, state/province, etat, departement",
    "country": "country, land, pays, country/region, staat",
    "birth_date": "date of birth, birthday, birthdate, dob, geburtsdatum, geburtstag, date de naissance, anniversaire",
    "notes": "notes, note, comment, comments, remark, remarks, description, notiz, notizen, bemerkung, bemerkungen, "
    "kommentar, remarque, remarques, commentaire",
    "industry": "industry, sector, branche, secteur, gics sector, business",
    "kind": "kind, type, typ, art, category, kategorie, categorie",
    "name": "name, title, bezeichnung, nom, libelle, titel, company name, company, firma, firmenname, unternehmen, "
    "societe, raison sociale, entreprise, organisation, organization, account name, security, deal name, product name, "
    "productname, companyname, product, artikel, produkt, produit, opportunity name, campaign name, kampagne",
    "subject": "subject, betreff, objet, sujet, title, titel, titre, thema, summary",
    "body": "body, text, description, request, anfrage, beschreibung, message, nachricht, texte, details",
    "amount": "amount, value, deal value, betrag, wert, summe, montant, valeur, volume, umsatz",
    "currency": "currency, currency code, wahrung, waehrung, devise, monnaie",
    "stage_id": "stage, status, phase, stufe, etape, statut, pipeline stage",
    "owner_id": "owner, account owner, assigned to, responsible, zustandig, zustaendig, bearbeiter, betreuer, "
    "verantwortlich, proprietaire, responsable, sales rep, salesperson, user, agent",
    "department_id": "department, team, abteilung, departement, service, equipe",
    "expected_on": "expected close, close date, expected on, expected closing, abschlussdatum, erwartet am, "
    "date de cloture, closing date",
    "opened_on": "opened, opened on, start date, created on, eroffnet am, eroeffnet am, ouvert le",
    "closed_on": "closed, closed on, geschlossen am, abgeschlossen am, ferme le, won on",
    "lost_reason": "reason for the loss, lost reason, loss reason, verlustgrund, raison de la perte",
    "due_on": "due, due date, due on, fallig, fallig am, faellig am, echeance, deadline",
    "done_at": "done, done at, completed, erledigt, erledigt am, fait le, termine le, completed at",
    "priority": "priority, prioritat, prioritaet, priorite, urgency, dringlichkeit",
    "sku": "sku, article no, article number, item number, product code, artikelnummer, artikel-nr, art.-nr., "
    "reference, code article, item no, part number",
    "category": "category, product group, kategorie, warengruppe, categorie, group",
    "unit": "unit, einheit, unite, quantity per unit, quantityperunit, verpackungseinheit",
    "price": "price, unit price, unitprice, list price, preis, einzelpreis, prix, prix unitaire",
    "tax_rate_id": "tax, tax rate, vat rate, steuer, steuersatz, mwst, mwst.-satz, taux de tva",
    "is_active": "active, is active, for sale, aktiv, verkaufbar, actif, en vente",
    "starts_on": "starts, starts on, start, start date, beginn, begin, startdatum, debut, date de debut",
    "ends_on": "ends, ends on, end, end date, ende, enddatum, fin, date de fin",
    "budget": "budget",
    "goal": "goal, ziel, objectif, purpose",
    "freight": "freight, shipping, fracht, versand, port, frais de port",
}


def plain(header):
    """A header as it is compared: folded, signs as blanks."""
    return " ".join(re.sub(r"[^a-z0-9.]+", " ", fold(header)).split())


def words_of(entity, field):
    """Every word by which headers may call this field."""
    own = {plain(field.label), plain(field.name), plain(field.name.removesuffix("_id").removesuffix("_on"))}
    if field.kind == "custom":
        own |= {plain(label) for label in field.custom.labels.values()}
    given = {plain(word) for word in WORDS.get(field.name, "").split(",")}
    if entity == "contact" and field.name == "company_id":
        given.discard("client")
    return (own | given) - {""}
