"""What sections hand to the page."""

from __future__ import annotations

import json

from pabench.report.section import script_json


def test_json_in_the_page_cannot_close_its_script():
    text = script_json({"x": "</script><!--&\u2028"})

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"x": "</script><!--&\u2028"}
