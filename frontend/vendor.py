"""Copy what the face needs from node_modules into app/static/vendor, with licences and a manifest of hashes.

Run `npm ci --ignore-scripts --omit=optional` here, then `python frontend/vendor.py` (it needs tinycss2 and
fontTools, which WeasyPrint brings). The result is committed, so that neither CI nor production needs npm.
"""

import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"
VENDOR = HERE.parent / "app" / "static" / "vendor"

# Beginnings of class names of Tabler that Foyer has components of its own for, or no use for. Everything else
# is kept, so that a colleague may use an ordinary Tabler class without running this script again.
UNUSED_FAMILIES = tuple((HERE / "unused.txt").read_text().split())
UNUSED_SIZES = re.compile(
    r"(?<!col)-(sm|lg|xl|xxl)-(\d|auto|none|inline|block|flex|grid|row|column|start|end|center|fill|grow|shrink|wrap|nowrap|"
    r"between|around|evenly|stretch|baseline|first|last|table|contents)|"
    r"-print-|-n\d$|\[data-bs-theme-|\[data-vc|\.theme-"
)
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")

ALPHABETS = ("latin", "latin-ext", "cyrillic", "greek")
# The variable latin-ext file weighs 85 kB; the letters of European names in it weigh a fifth of that.
EUROPEAN_LETTERS = (
    "U+0100-017F,U+018F,U+0192,U+0218-021B,U+0259,U+1E80-1E85,U+1E9E,U+1EF2-1EF3,"
    "U+2020,U+20A0-20AB,U+20AD-20C0"
)


def main():
    """Rebuild the vendor folder from nothing, so that what is no longer listed goes away."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    write_tabler()
    write_icons()
    copy_script("htmx.org", "dist/htmx.min.js")
    copy_script("sortablejs", "Sortable.min.js")
    copy_script("tom-select", "dist/js/tom-select.base.min.js")
    write_hotkey()
    write_screen_font()
    write_print_fonts()
    write_manifest()


def folder_of(package):
    """The folder of a package under vendor, its name and version readable from the path."""
    name = package.removeprefix("@").replace("/", "-").replace(".org", "")
    folder = VENDOR / f"{name}-{facts_of(package)['version']}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def facts_of(package):
    """What the package says of itself."""
    return json.loads((MODULES / package / "package.json").read_text())


def copy_script(package, path):
    """Copy one script and its licence unchanged."""
    folder = folder_of(package)
    shutil.copyfile(MODULES / package / path, folder / Path(path).name)
    shutil.copyfile(MODULES / package / "LICENSE", folder / "LICENSE")


def write_hotkey():
    """The module of shortcuts as a plain script: all of the house's scripts come as one file, which imports nothing."""
    folder = folder_of("@github/hotkey")
    source = (MODULES / "@github/hotkey/dist/index.js").read_text()
    body, exported = re.fullmatch(r"(.*)\nexport (\{[^}]*\});\s*", source, re.S).groups()
    (folder / "hotkey.js").write_text(f"var hotkey = (() => {{\n{body}\nreturn {exported};\n}})();\n")
    shutil.copyfile(MODULES / "@github/hotkey/LICENSE", folder / "LICENSE")


def write_tabler():
    """Tabler's style sheet without the families that Foyer has no use for, and else unchanged."""
    source = (MODULES / "@tabler/core/dist/css/tabler.min.css").read_text()
    folder = folder_of("@tabler/core")
    banner = re.search(r"/\*!.*?\*/", source, re.S).group(0)
    rules = tinycss2.parse_stylesheet(source, skip_comments=True, skip_whitespace=True)
    (folder / "tabler.css").write_text(f"{banner}\n{trimmed(rules)}\n")
    # The package carries no licence file: its banner names authors and licence, and the text is kept here.
    shutil.copyfile(HERE / "tabler.LICENSE", folder / "LICENSE")


def trimmed(rules):
    """The rules that are left when unused selectors go, and with them what has no selector left."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [one for one in split_selectors(tinycss2.serialize(rule.prelude)) if is_wanted(one)]
            body = tinycss2.serialize(rule.content)
            if selectors and body.strip():
                kept.append(f"{','.join(selectors)}{{{body}}}")
        elif rule.type == "at-rule" and rule.at_keyword in ("media", "supports") and rule.content:
            inner = trimmed(tinycss2.parse_rule_list(rule.content, True, True))
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        elif rule.type == "at-rule" and rule.at_keyword != "charset":
            kept.append(rule.serialize())
    return "".join(kept)


def split_selectors(text):
    """The selectors of a list, parted at the commas outside brackets."""
    return re.split(r",(?![^(\[]*[)\]])", text)


def is_wanted(selector):
    """Whether a selector names no class of an unused family or size."""
    if UNUSED_SIZES.search(selector):
        return False
    return not any(name.startswith(family) for name in CLASS.findall(selector) for family in UNUSED_FAMILIES)


def write_icons():
    """One sprite of the icons in icons.txt; stroke and fill come from the class `icon` where it is used."""
    folder = folder_of("@tabler/icons")
    symbols = []
    for name in (HERE / "icons.txt").read_text().split():
        drawing = ElementTree.parse(MODULES / f"@tabler/icons/icons/outline/{name}.svg").getroot()
        paths = "".join(
            f'<path d="{path.get("d")}"/>'
            for path in drawing.iter("{http://www.w3.org/2000/svg}path")
            if path.get("stroke") != "none"
        )
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{paths}</symbol>')
    drawings = "\n".join(symbols)
    (folder / "sprite.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">\n{drawings}\n</svg>\n')
    shutil.copyfile(MODULES / "@tabler/icons/LICENSE", folder / "LICENSE")


def write_screen_font():
    """Inter with an axis of weights, one file an alphabet, and the style sheet that names them."""
    package = "@fontsource-variable/inter"
    folder = folder_of(package)
    faces = []
    ranges = unicode_ranges(MODULES / package / "wght.css") | {"latin-ext": EUROPEAN_LETTERS}
    for alphabet in ALPHABETS:
        name = f"inter-{alphabet}-wght-normal.woff2"
        (folder / name).write_bytes(slimmed(MODULES / package / "files" / name, ranges[alphabet]))
        # Other alphabets come late, with the first page that needs them: what is drawn by then stays as it is.
        display = "swap" if alphabet == "latin" else "optional"
        faces.append(font_face("Inter", "400 700", name, ranges[alphabet], display))
    (folder / "inter.css").write_text("".join(faces))
    shutil.copyfile(MODULES / package / "LICENSE", folder / "LICENSE")


def write_print_fonts():
    """Inter regular and bold as fixed faces, with which WeasyPrint sets documents without any system font."""
    package = "@fontsource/inter"
    folder = folder_of(package)
    faces = []
    for weight in (400, 700):
        ranges = unicode_ranges(MODULES / package / f"{weight}.css")
        for alphabet in ALPHABETS:
            name = f"inter-{alphabet}-{weight}-normal.woff2"
            shutil.copyfile(MODULES / package / "files" / name, folder / name)
            faces.append(font_face("Inter", weight, name, ranges[alphabet]))
    (folder / "print.css").write_text("".join(faces))
    shutil.copyfile(MODULES / package / "LICENSE", folder / "LICENSE")


def unicode_ranges(path):
    """The characters each alphabet's file holds, as the package's own style sheet says."""
    named = r"/\* inter-(.+?)-(?:wght|\d+)-normal \*/.*?unicode-range: ([^;]+);"
    return dict(re.findall(named, path.read_text(), re.S))


def font_face(family, weight, name, characters, display="swap"):
    """One @font-face rule."""
    return (
        f"@font-face{{font-family:{family};font-style:normal;font-weight:{weight};font-display:{display};"
        f"src:url({name}) format('woff2');unicode-range:{characters}}}\n"
    )


def slimmed(path, characters):
    """The font with only these characters and the weights from regular to bold: a third lighter."""
    font = TTFont(path, recalcTimestamp=False)
    cutter = subset.Subsetter(subset.Options(layout_features=["*"], notdef_outline=True))
    cutter.populate(unicodes=subset.parse_unicodes(characters.replace("U+", "")))
    cutter.subset(font)
    font = instancer.instantiateVariableFont(font, {"wght": (400, 700)})
    font.flavor = "woff2"
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def write_manifest():
    """Every file with its sha256 and every package with its licence and where it comes from."""
    packages = {}
    for package in facts_of_root()["dependencies"]:
        facts = facts_of(package)
        folder = folder_of(package)
        packages[folder.name] = {
            "package": package,
            "version": facts["version"],
            "licence": facts["license"],
            "files": {path.name: sha256_of(path) for path in sorted(folder.iterdir())},
        }
    (VENDOR / "manifest.json").write_text(json.dumps(packages, indent=2, sort_keys=True) + "\n")


def sha256_of(path):
    """The hash of a file as the manifest writes it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_of_root():
    """This folder's own package.json."""
    return json.loads((HERE / "package.json").read_text())


if __name__ == "__main__":
    main()
