"""What the report says of an account: what a gain is made of, in one look."""

from pathlib import Path

from matplotlib.figure import Figure as Plot
from matplotlib.ticker import MaxNLocator

from diva.documents import read_model
from diva.evaluation.drawing import FAINT, INK, colour, drawn, finish_whiskers, house_style, whisker
from diva.evaluation.judgement import Judgement
from diva.evaluation.section import (
    Beside,
    Block,
    Change,
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
    plain_table,
    words,
)
from diva_benchmarks.pairs.account import Account
from diva_benchmarks.pairs.wording import MEANS, chance, said

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
        Paragraph(content=words(quoted)),
        Beside(table=_table(account), figures=[_parts(account)]),
    ]
    if account.looks:
        blocks += [Paragraph(content=words(chance(account))), _path(account)]
    return Section(id="account", title="What a gain is made of", blocks=blocks)


def _changes(account: Account) -> dict[str, Change]:
    return {
        share.name: Change(value=share.points, interval=share.interval, judgement=_judged(share.interval))
        for share in account.shares
    } | {"quoted": Change(value=account.difference, interval=account.interval, judgement=_judged(account.interval))}


def _judged(interval: tuple[float, float]) -> Judgement:
    low, high = interval
    return Judgement.BETTER if low > 0 else Judgement.WORSE if high < 0 else Judgement.UNCHANGED


def _table(account: Account) -> Table:
    rows = [
        Row(name=name.capitalize(), note=MEANS.get(name, ""), cells=[[change]])
        for name, change in _changes(account).items()
    ]
    rows[-1] = rows[-1].model_copy(update={"name": "As quoted", "role": "total"})
    return plain_table(["Part", "Points"], rows)


def _parts(account: Account) -> Figure:
    changes = _changes(account)
    with house_style():
        plot = Plot(figsize=(3.8, 0.4 * len(changes) + 0.5))
        axes = plot.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for place, (name, change) in enumerate(changes.items()):
            axes.text(0, -0.4 * place - 0.1, name, transform=axes.get_yaxis_transform(), va="center")
            whisker(axes, change, -0.4 * place - 0.27, 1)
        finish_whiskers(axes, 0.4 * len(changes), "points of the quoted difference")
        caption = "Each part in points with its 95 % interval over pairs; a filled dot: its interval leaves out 0."
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
