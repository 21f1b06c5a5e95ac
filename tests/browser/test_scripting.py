"""Cross-site scripting in small: no word of a text field becomes a script.

In full: `python -m tests.prove.scripting`.
"""

from tests.prove import scripting


def test_no_word_of_a_text_field_runs_in_a_browser(chromium):
    outcome = scripting.prove(scripting.QUICK, chromium)
    assert outcome.fired == []
    assert outcome.held > 20 and outcome.fields > 20


def test_the_watch_would_notice(chromium):
    context = chromium.new_context(bypass_csp=True)
    context.add_init_script(scripting.WATCH)
    page = context.new_page()
    page.goto("data:text/html,<p></p>")
    page.set_content("<img data-xss src=x onerror=alert(1)>")
    page.wait_for_function("() => window.fired.length")
    assert len(page.evaluate(scripting.LOOK)["elements"]) == 1
    page.set_content("<svg><a xlink:href=' java\tscript:alert(1)'></a></svg>alert(1)")
    seen = page.evaluate(scripting.LOOK)
    assert len(seen["scripts"]) == 1 and not seen["elements"] and seen["held"]
    context.close()
