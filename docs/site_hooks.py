"""Hooks of mkdocs.yml: the README is the first page, and links out of docs/ become plain text."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://|#)([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README, whose links start at the root, and the reference of what `import diva` gives."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=readme))
    files.append(File.generated(config, "reference.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, *, files: Files, **_: Any) -> str:
    """Keep the text alone of links to what is no page, such as code."""

    def plain(link: re.Match[str]) -> str:
        file = files.get_file_from_path(link[2].partition("#")[0])
        return link[0] if file and file.inclusion.is_included() else link[1]

    return OUTSIDE.sub(plain, markdown)


def _reference() -> str:
    import diva

    homes: dict[str, Any] = {name: getattr(diva, name) for name in diva.__all__ if not name.startswith("_")}
    blocks = [f"::: {each.__module__}.{each.__qualname__}" for each in homes.values()]
    return "# Reference\n\n" + "\n\n".join(blocks) + "\n"
