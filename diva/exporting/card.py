"""The model card of an exported tower: what it is, how it was made, what it scored, and what to beware of."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from diva import __version__
from diva.evaluation.comparison import verdict
from diva.exporting.history import History
from diva.exporting.open_clip_format import is_approximated
from diva.exporting.transformers_model import is_siglip
from diva.markdown import escaped
from diva.results import Metric
from diva.towers import Clip
from diva.towers.activation import activation_of


def write_card(
    folder: Path,
    clip: Clip,
    history: History,
    *,
    kind: str,
    alpha: float | None = None,
) -> None:
    """Write `README.md` into `folder`.

    Args:
        clip: the tower; history: what is known of its making.
        kind: "open_clip", "transformers", "llava" or "timm".
        alpha: the trained tower's share, if it was averaged with its base; its measurements are then not this
            tower's and are left out.
    """
    environment = Environment(
        loader=PackageLoader("diva.exporting", "."),
        undefined=StrictUndefined,
        autoescape=False,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"metric": _metric, "verdict": verdict, "public": _public}
    text = environment.get_template("card.md.jinja").render(
        version=__version__,
        clip=clip,
        activation=activation_of(clip.model),
        approximated=is_approximated(clip),
        history=history,
        kind=kind,
        siglip=is_siglip(clip),
        crops=clip.input.resize_mode == "shortest",
        alpha=alpha,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _finalize(value: object) -> object:
    """Escape what the page takes from a recipe, a tower or a result: it is shown, and never markup."""
    return escaped(value) if isinstance(value, str) else value


def _public(name: str) -> str:
    """Return a path's last part: where a private disk keeps its folders is nobody's business.

    An address may carry a password or a token, so its last part alone is given too.
    """
    return Path(name.partition("?")[0]).name if Path(name).is_absolute() or "://" in name else name


def _metric(metric: Metric) -> str:
    unit = " %" if metric.unit == "percent" else f" {metric.unit}"
    interval = f" ({metric.interval[0]:.1f} to {metric.interval[1]:.1f})" if metric.interval else ""
    return f"{metric.value:.1f}{unit}{interval}"
