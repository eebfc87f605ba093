"""A Sphinx extension that mends what the theme writes, for keyboards, screen readers and JavaScript engines."""

import re
from itertools import count

from companion.course.elsewhere import tell_in_words


def mend(app, pagename, templatename, context, doctree):
    """Drop inline scripts registered twice (an error on every page); give lists and wide tables their proper roles."""
    bodies, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in bodies:
            kept.append(script)
        bodies.add(body)
    context["script_files"] = kept
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        # What scrolls sideways, tables anywhere and figures on a phone, must be reachable by keyboard.
        number = count(1)
        table = '<div class="pst-scrollable-table-container"'
        body = re.sub(
            table, lambda start: f'{start[0]} tabindex="0" role="region" aria-label="table {next(number)}"', body
        )
        # A signature of several lines is a list of descriptions without terms, inside a term.
        body = re.sub(r'(<span class="sig-paren">.</span>)\s*<dl>(.*?)</dl>', _lines_of_signature, body, flags=re.S)
        context["body"] = body.replace("<figure ", '<figure tabindex="0" ')


def _lines_of_signature(match):
    lines = match[2].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return match[1] + lines


def setup(app):
    app.connect("html-page-context", mend, priority=900)
    app.add_config_value("some_chapters", False, "env")
    app.connect("config-inited", tell_in_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
