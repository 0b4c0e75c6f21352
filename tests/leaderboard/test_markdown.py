"""Texts of a site as HTML."""

from __future__ import annotations

from pabench.leaderboard.markdown import rendered
from pabench.leaderboard.sitefiles import escaped


def test_a_text_is_its_heading_and_what_follows():
    heading, html = rendered("# Rules: 5 \\& 6\n\n## What counts?\n\n**All** `x`.\n")

    assert heading == "Rules: 5 & 6"
    assert html == '<h2 id="what-counts">What counts?</h2>\n<p><strong>All</strong> <code>x</code>.</p>\n'


def test_links_to_texts_lead_to_their_pages_and_others_stay():
    _, html = rendered("# A\n[b](b.md#c) [d](index.html) [e](https://x.org/e.md)\n")

    assert html == '<p><a href="b.html#c">b</a> <a href="index.html">d</a> <a href="https://x.org/e.md">e</a></p>\n'


def test_a_table_can_be_scrolled_by_keyboard_and_has_no_style_which_the_policy_would_block():
    _, html = rendered("# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")

    assert html.startswith('<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n<thead>')
    assert html.endswith("</table></div>\n")
    assert "style" not in html


def test_what_a_stranger_wrote_is_text():
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) | `a` **b** _c_ &lt; \\"
    heading, html = rendered(f"# {escaped(hostile)}\n\n| {escaped(hostile)} | b |\n|---|---|\n")

    shown = "&lt;script&gt;alert(1)&lt;/script&gt; [x](javascript:alert(1)) | `a` **b** _c_ &amp;lt; \\"
    assert heading == hostile
    assert f"<th>{shown}</th>\n<th>b</th>" in html
