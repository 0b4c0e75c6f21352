"""Texts of a site, which are Markdown, as HTML."""

from __future__ import annotations

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markupsafe import Markup


def rendered(text: str) -> tuple[str, Markup]:
    """The heading of a text, which is its first line, and the HTML of what follows. HTML in it is shown as text.

    Headings have their words as anchors. Links to other texts of the site (`NAME.md`) lead to their pages.
    """
    heading, _, body = text.partition("\n")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(body)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", re.sub(r"[^a-z0-9]+", "-", inline.content.lower()).strip("-"))
        for child in token.children or ():
            target = str(child.attrGet("href") or "")
            if child.type == "link_open" and re.fullmatch(r"[\w.-]+\.md(#[\w-]+)?", target):
                child.attrSet("href", target.replace(".md", ".html"))
    html = parser.renderer.render(tokens, parser.options, {})
    # a wide table is scrolled by itself, by keyboard, too
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>')
    (title,) = parser.parseInline(heading.removeprefix("# "))
    words = "".join(child.content for child in title.children or ())
    return words, Markup(html.replace("</table>", "</table></div>"))
