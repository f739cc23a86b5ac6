"""What the report says of an account: what a gain is made of, in one look."""

from pathlib import Path

from matplotlib.figure import Figure as Plot
from matplotlib.ticker import MaxNLocator

from diva.documents import read_model
from diva.evaluation.drawing import FAINT, INK, colour, drawn, finish_rows, house_style
from diva.evaluation.judgement import Judgement
from diva.evaluation.section import (
    Beside,
    Block,
    Change,
    Figure,
    Heading,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    plain_table,
    words,
)
from diva_benchmarks.pairs.account import Account
from diva_benchmarks.pairs.wording import MEANS, answer, chance, in_play, said

EXPLAINED = (
    "A quoted gain may mix five things: a better tower, another feature by which it is read, another rule,"
    " adaptation to the test pairs, and the choice of the best of several towers by these very pairs. The parts add"
    " up to the quoted difference. What a tower gained is what it keeps on pairs that had no part in choosing it."
)


def read_account(path: Path) -> Section:
    """Read an `account.json` and lay it out.

    Raises:
        InputError: it is no account.
    """
    account = read_model(path, Account, "run diva pairs account again")
    quoted, *_ = said(account)
    blocks: list[Block] = [
        Paragraph(content=words(EXPLAINED), style="soft"),
        Heading(text=f"{account.trained.tower} against {account.baseline.tower}", note=account.data),
        Paragraph(content=words(answer(account)), style="verdict"),
        Paragraph(content=words(quoted), style="soft"),
        Beside(table=_table(account), figures=[_parts(account)]),
    ]
    if account.looks:
        blocks += [Paragraph(content=words(chance(account))), _path(account)]
    return Section(id="account", title="What a gain is made of", blocks=blocks)


def _change(points: float, interval: tuple[float, float], *, of_tower: bool) -> Change:
    """Return points with their interval; the tower's part alone is called better or worse."""
    low, high = interval
    shown = Judgement.BETTER if low > 0 else Judgement.WORSE if high < 0 else Judgement.UNCHANGED
    return Change(value=points, interval=interval, judgement=shown if of_tower else Judgement.UNTESTED)


def _table(account: Account) -> Table:
    named = in_play(account)
    rows = []
    for share in account.shares:
        change = _change(share.points, share.interval, of_tower=share.name == "tower")
        cell: list[Inline] = [change] if share in named else words("none", "soft")
        rows.append(Row(name=share.name.capitalize(), note=MEANS[share.name], cells=[cell]))
    whole = _change(account.difference, account.interval, of_tower=False)
    rows.append(Row(name="As quoted", cells=[[whole]], role="total"))
    return plain_table(["Part", "Points"], rows)


def _parts(account: Account) -> Figure:
    """Draw each part from where the one before it ends, down to the whole."""
    shares, height, start = in_play(account), 0.5, 0.0
    with house_style():
        plot = Plot(figsize=(3.8, 0.36 * (len(shares) + 1) + 0.5))
        axes = plot.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for place, share in enumerate(shares):
            shade = colour(1) if share.name == "tower" else FAINT
            axes.barh(place, share.points, left=start, height=height, color=shade)
            axes.plot([start + end for end in share.interval], [place] * 2, color=INK, linewidth=1)
            start += share.points
            axes.plot([start] * 2, [place, place + 1], color=INK, linewidth=0.6, linestyle=":")
        axes.barh(len(shares), account.difference, height=height, color=INK)
        axes.set_yticks(range(len(shares) + 1), [*(share.name for share in shares), "as quoted"])
        finish_rows(axes, "points")
        axes.invert_yaxis()
        caption = (
            "Each bar begins where the one before it ends; together they make what was quoted. Only the first is"
            " the tower's. Lines: 95 % intervals over pairs."
        )
        return drawn(plot, "The parts of the quoted difference", caption=caption)


def _path(account: Account) -> Figure:
    """Draw the looks in their order, with the band that none of them leaves by chance alone."""
    scores = [look.score for look in account.looks]
    middle, (low, high) = account.unchanged, account.band
    with house_style():
        plot = Plot(figsize=(6.4, 2.4))
        axes = plot.add_subplot()
        axes.axhspan(middle + low, middle + high, color=FAINT, alpha=0.5, linewidth=0)
        axes.axhline(middle, color=INK, linewidth=0.8)
        axes.plot(range(1, len(scores) + 1), scores, "o-", color=colour(1), markersize=3.5, linewidth=1.4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("looks, in their order")
        axes.set_ylabel("percent right")
        caption = (
            "Every tower that was looked at. The line is the baseline, by the quoted feature and rule; the band is"
            " where all of them stay in 95 of 100 data sets if none is better than it."
        )
        return drawn(plot, "Scores of the towers that were looked at", caption=caption)
