"""The status page: its figures are in it, whatever text they hold, and it loads nothing."""

import json
import re

from mlplatform.offline.status_page import page


def test_no_text_can_end_the_figures_early() -> None:
    told = {"title": "</script><script>alert(1)</script>", "sentence": "<b>&amp;\u2028", "days": [1.5, None]}
    text = page(told)
    inside = text.partition('type="application/json">')[2].partition("</script>")[0]
    assert json.loads(inside) == told


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = page({"title": "orders"})
    assert not re.search(
        r"(src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", text
    )
    assert "innerHTML" not in text
