"""How MMVP-VLM is scored, as a task of its own and as one of the sets of pairs."""

from diva_benchmarks.pair_rule import PAIR, Scoring

PROMPT = "a photo of "
SCORING = Scoring(
    "mmvp-vlm", "MMVP-VLM", {"average": PAIR}, by_category=True, breakdown="visual pattern", prompt=PROMPT
)
