"""The face stays in the house: vendored files are those of the manifest, nothing is inline or foreign."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "app" / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = ROOT / "app" / "templates"

MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
PERMISSIVE = {"MIT", "OFL-1.1", "BSD-0-Clause", "0BSD", "Apache-2.0", "BSD-3-Clause"}

# Templates of documents are read by WeasyPrint, never by a browser: the policy for pages does not bind them.
PAGES = [path for path in sorted(TEMPLATES.rglob("*.html")) if TEMPLATES / "documents" not in path.parents]
COMPONENTS = sorted((TEMPLATES / "components").glob("*.html"))
OWN_FILES = sorted([*(STATIC / "css").glob("*.css"), *(STATIC / "js").glob("*.js")])

INLINE = {
    "an inline style": re.compile(r"<style\b|\sstyle\s*=", re.I),
    "an inline script": re.compile(r"<script\b(?![^>]*\bsrc=)|javascript:", re.I),
    "an event attribute": re.compile(r"<[a-z][^>]*\son[a-z]+\s*=", re.I),
}
FOREIGN = re.compile(r"(?:https?:|url\(\s*['\"]?|(?:src|href)=['\"])//(?!www\.w3\.org/)", re.I)
JINJA_COMMENT = re.compile(r"\{#.*?#\}", re.S)


def name_of(path):
    """A short name for a test's id."""
    return str(path.relative_to(ROOT / "app"))


def markup_of(path):
    """A template without its comments."""
    return JINJA_COMMENT.sub("", path.read_text())


@pytest.mark.parametrize("folder", sorted(MANIFEST))
def test_vendored_files_are_those_of_the_manifest(folder):
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (VENDOR / folder).iterdir()}
    assert found == MANIFEST[folder]["files"]


def test_the_vendor_folder_holds_nothing_the_manifest_does_not_name():
    assert {path.name for path in VENDOR.iterdir()} == {*MANIFEST, "manifest.json"}


@pytest.mark.parametrize("folder", sorted(MANIFEST))
def test_a_vendored_package_carries_a_permissive_licence(folder):
    assert MANIFEST[folder]["licence"] in PERMISSIVE
    assert "LICENSE" in MANIFEST[folder]["files"]


def test_versions_of_the_manifest_are_those_of_the_lock_file():
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text())["packages"]
    for entry in MANIFEST.values():
        assert lock[f"node_modules/{entry['package']}"]["version"] == entry["version"]


def test_the_lock_file_names_no_registry():
    assert '"resolved"' not in (ROOT / "frontend" / "package-lock.json").read_text()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_template_has_nothing_inline(path):
    for what, pattern in INLINE.items():
        hit = pattern.search(markup_of(path))
        assert not hit, f"{what}: {hit.group(0)!r}"


@pytest.mark.parametrize("path", [*PAGES, *OWN_FILES], ids=name_of)
def test_nothing_of_ours_names_another_host(path):
    text = markup_of(path) if path.suffix == ".html" else path.read_text()
    hit = FOREIGN.search(text)
    assert not hit, hit.group(0)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_template_links_only_static_files_that_exist(path):
    for name in re.findall(r"""url_for\(['"]static['"], filename=['"]([^'"]+)['"]\s*\)""", markup_of(path)):
        assert (STATIC / name).is_file(), name


def test_every_icon_in_use_is_in_the_sprite():
    (sprite,) = VENDOR.glob("tabler-icons-*/sprite.svg")
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', sprite.read_text()))
    used = set()
    for path in (ROOT / "app" / "views").glob("*.py"):
        text = path.read_text()
        for pattern in (
            r'\bEntry\(\w+, N_\("[^"]*"\), "([\w-]+)"',
            r'\bicon = .*?"([\w-]+)"$',
            r'"icon": "([\w-]+)"',
        ):
            used.update(re.findall(pattern, text, re.M))
    for path in PAGES:
        used.update(re.findall(r"""(?:\bicon|\bdraw)(?:\(|=)\s*['"]([\w-]+)['"]""", markup_of(path)))
    assert used
    assert used <= drawn, f"add to frontend/icons.txt and run frontend/vendor.py: {sorted(used - drawn)}"


def test_the_sprite_holds_the_icons_that_are_listed():
    (sprite,) = VENDOR.glob("tabler-icons-*/sprite.svg")
    listed = (ROOT / "frontend" / "icons.txt").read_text().split()
    assert re.findall(r'<symbol id="([\w-]+)"', sprite.read_text()) == listed
    assert listed == sorted(set(listed))


@pytest.mark.parametrize("path", COMPONENTS, ids=name_of)
def test_a_component_says_how_it_is_called_and_defines_its_macro(path):
    text = path.read_text()
    assert text.startswith(f"{{#- {path.stem}("), "a component starts with a comment that tells its arguments"
    drawn_in_python = f"{{% set {path.stem} = draw_{path.stem} %}}"
    assert f"{{% macro {path.stem}(" in text or drawn_in_python in text
