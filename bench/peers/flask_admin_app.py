"""Stock Flask-Admin with Flask-Login: one ModelView over the contact table."""

import os

from flask import Flask, redirect, render_template_string, request
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_babel import Babel
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config.update(SECRET_KEY="measured" * 8, SQLALCHEMY_DATABASE_URI=os.environ["PEER_DATABASE"])
Babel(app)
db = SQLAlchemy(app)
accounts = LoginManager(app)


class Visitor(UserMixin):
    """The one who signs in; there are no others, and no password."""

    id = "1"


@accounts.user_loader
def load(_key):
    """Always the same one."""
    return Visitor()


class Contact(db.Model):
    """A person, as one row."""

    __tablename__ = "contact"

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(170), nullable=False)
    email = db.Column(db.String(200))
    phone = db.Column(db.String(40))
    city = db.Column(db.String(80))
    company = db.Column(db.String(160))
    notes = db.Column(db.Text)
    created_on = db.Column(db.DateTime)


@app.route("/login", methods=["GET", "POST"])
def login():
    """The door: whoever knocks is let in."""
    if request.method == "POST":
        login_user(Visitor())
        return redirect("/admin/")
    return render_template_string('<form method="post"><input name="username"></form>')


class ContactView(ModelView):
    """List, search and form of a contact."""

    column_list = ["name", "email", "phone", "city", "company"]
    column_searchable_list = ["name"]
    form_columns = ["name", "email", "phone", "city", "company", "notes"]
    page_size = 25

    def is_accessible(self):
        return current_user.is_authenticated


admin = Admin(app, name="Contacts")
admin.add_view(ContactView(Contact, db, endpoint="contact"))
