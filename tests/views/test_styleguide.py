"""The page of styles shows every component, in both themes, to admins alone."""

import re
from pathlib import Path

import pytest

COMPONENTS = Path(__file__).resolve().parents[2] / "app" / "templates" / "components"


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_every_component_stands_on_the_page_of_styles(client_for, theme):
    page = client_for("admin").get(f"/styleguide?theme={theme}")
    assert f'data-bs-theme="{theme}"' in page
    assert set(re.findall(r'data-component="(\w+)"', page.html)) == {
        path.stem for path in COMPONENTS.glob("*.html")
    }


def test_the_page_of_styles_is_for_admins(client_for):
    client_for("rep.north").get("/styleguide", status=403)
    client_for("admin").get("/styleguide?theme=purple", status=400)
