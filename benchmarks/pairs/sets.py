"""The sets of pairs by name, and by which rules each is scored; `diva_benchmarks.pairs.layouts` reads them."""

from typing import NamedTuple

from diva.errors import Unknown, did_you_mean
from diva_benchmarks.mmvp_scoring import SCORING as MMVP
from diva_benchmarks.pair_rule import ARGMAX, BOTH, GROUP, IMAGE, MATCH, PAIR, TEXT, Rule, Scoring

TASK = "pairs"
PLAIN = "plain"


class SetFacts(NamedTuple):
    """What a set's authors report.

    Attributes:
        texts, images: of each pair.
        headline: the rule of the authors' main figure.
        by_category: whether that figure is a mean of categories.
        prompt: stands before every statement.
    """

    title: str
    texts: int
    images: int
    headline: Rule
    by_category: bool = False
    prompt: str = ""

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules that such pairs can be scored by, the headline's first."""
        others = (TEXT, IMAGE, GROUP, PAIR, MATCH) if self.images == 2 else ()
        return {rule.name: rule for rule in (self.headline, *others)}

    def scoring(self, name: str) -> Scoring:
        """Return how the set called `name` is scored."""
        return Scoring(TASK, self.title, self.rules, part=name, by_category=self.by_category, prompt=self.prompt)


SETS = {
    "mmvp": SetFacts(MMVP.title, 2, 2, MMVP.rules[MMVP.headline], by_category=MMVP.by_category, prompt=MMVP.prompt),
    "winoground": SetFacts("Winoground", 2, 2, GROUP),
    "whatsup": SetFacts("What'sUp", 4, 2, ARGMAX),
    "colorswap": SetFacts("ColorSwap", 2, 2, GROUP),
    "sugarcrepe": SetFacts("SugarCrepe", 2, 1, TEXT, by_category=True),
    "sugarcrepe-pp": SetFacts("SugarCrepe++", 3, 1, BOTH, by_category=True),
    "vismin": SetFacts("VisMin", 2, 2, GROUP, by_category=True),
    "bivlc": SetFacts("BiVLC", 2, 2, GROUP),
    "eqben": SetFacts("EqBen (the mini set)", 2, 2, GROUP),
    PLAIN: SetFacts("pairs", 2, 2, GROUP),
}


def find_set(name: str) -> SetFacts:
    """Return what is known of the set called `name`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in SETS:
        raise Unknown("set", f"'{name}' is unknown; {did_you_mean(name, SETS)}")
    return SETS[name]
