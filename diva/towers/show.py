"""Tables about towers, for the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from diva.towers.zoo import ZOO


def print_zoo() -> None:
    """Print the towers by name: size, where the base weights come from, licence, published MMVP-VLM scores."""
    table = Table(
        title="Towers: name, open_clip architecture, hub repository and licence of the base weights",
        caption="MMVP-VLM averages as published: percent of 135 pairs, original tower → DIVA; – where nobody has",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("tower", overflow="fold")
    for heading in ("M par.", "px", "before", "DIVA"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in ZOO.values():
        figures = (entry.parameters, entry.size, entry.mmvp_before, entry.mmvp_after)
        place = " · ".join(filter(None, (entry.hub, entry.licence)))
        where = f"[bold]{entry.name}[/]\n  {entry.title} ({entry.architecture})\n  {place}"
        table.add_row(where, *("–" if each is None else str(each) for each in figures))
    Console().print(table)
