"""Text from elsewhere on a Markdown page."""

import re

from markupsafe import Markup, escape

from diva.errors import printable


def escaped(text: str) -> Markup:
    """Return `text` on one line that is neither markup nor the end of a table's cell."""
    plain = str(escape(printable(" ".join(text.split())))).replace("&#39;", "'").replace("&#34;", '"')
    return Markup(re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", plain))
