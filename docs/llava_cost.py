"""Hours and memory of LLaVA-1.5's two stages, computed from the recipes; prints the table of docs/llava.md.

Nothing here was measured. Arithmetic is counted from the shapes; the share of an A100's peak at which it runs is
what LLaVA's authors' own times on eight of them imply (3.5 and 5.5 hours for the first stage of 7B and 13B, 10 and
20 for the second), and a guess for 0.5B.
"""

import math
from dataclasses import dataclass

from diva_downstream.llava.recipe import LlavaRecipe, load_llava_recipe

PEAK = 312e12  # bfloat16 operations a second of an A100
CAPACITY = 80.0  # GB
GROUP = 8
TOWER, TOWER_TOKENS = 0.304e9, 577  # parameters of ViT-L/14 and its tokens at 336 px
IMAGE_TOKENS = 576
# conversations, and the mean tokens of one: captions are short, the mixture's conversations have turns
STAGES = {"stage1": (558_128, IMAGE_TOKENS + 20), "stage2": (665_298, 800)}
LONGEST = {"stage1": 700, "stage2": 2048}  # tokens of the longest prompts, which decide what must fit


@dataclass(frozen=True)
class Shape:
    """A language model: its size, the parameters in its layers, and the share of the peak that it reaches."""

    layers: int
    width: int
    vocabulary: int
    parameters: float
    shares: dict[str, float]
    tied: bool = False

    @property
    def stored(self) -> float:
        """Parameters with the embedding, and with the head where it is another matrix."""
        return self.parameters + self.width * self.vocabulary * (1 if self.tied else 2)


SHAPES = {
    "0.5b": Shape(24, 896, 151_936, 0.358e9, {"stage1": 0.20, "stage2": 0.20}, tied=True),
    "1.5-7b": Shape(32, 4096, 32_064, 6.476e9, {"stage1": 0.42, "stage2": 0.30}),
    "1.5-13b": Shape(40, 5120, 32_064, 12.688e9, {"stage1": 0.52, "stage2": 0.30}),
}
RUNS = (
    ("0.5b", "stage1"),
    ("0.5b", "stage2"),
    ("1.5-7b", "stage1"),
    ("1.5-7b", "stage2-lora"),
    ("1.5-7b", "stage2"),
    ("1.5-13b", "stage1"),
    ("1.5-13b", "stage2-lora"),
    ("1.5-13b", "stage2"),
)


def hours(size: str, run: str, gpus: int) -> float:
    """Return the hours of a run on `gpus` A100s."""
    shape, recipe, stage = SHAPES[size], load_llava_recipe(f"llava-{size}-{run}"), run.removesuffix("-lora")
    conversations, tokens = STAGES[stage]
    # forward, forward again from checkpoints, backward through the activations, and to the weights where they learn
    passes = 4 if recipe.train == "full" else 3
    forward = 2 * (shape.parameters + shape.width * shape.vocabulary) + 4 * shape.layers * shape.width * tokens
    each = passes * forward * tokens + 2 * TOWER * TOWER_TOKENS
    return conversations * each / (gpus * PEAK * shape.shares[stage]) / 3600


def gigabytes(size: str, run: str, gpus: int) -> float:
    """Return the memory that a run takes on each of `gpus` A100s, at its longest batch."""
    shape, recipe, stage = SHAPES[size], load_llava_recipe(f"llava-{size}-{run}"), run.removesuffix("-lora")
    tokens = recipe.training.micro_batch * LONGEST[stage]
    # the input of every layer, one layer in full, and the scores over the vocabulary with their gradient
    activations = tokens * (shape.width * (2 * shape.layers + 34) + 10 * shape.vocabulary)
    if recipe.train == "full":
        # float32 weights, gradients and two moments, shared out by FSDP
        model = 16 * shape.stored / gpus + 4 * TOWER
    else:
        model = 2 * shape.stored + 2 * TOWER + 16 * _trained(shape, recipe)
    return (model + activations) / 1e9


def render() -> str:
    """Return the table in Markdown."""
    head = "| language model | stage | 1 × A100: hours | GB | 8 × A100: hours | GB on each |\n"
    return head + "|---|---|---|---|---|---|\n" + "".join(_row(size, run) for size, run in RUNS)


def _row(size: str, run: str) -> str:
    stage = {"stage1": "1", "stage2": "2, full", "stage2-lora": "2, LoRA"}[run]
    cells = [size.removeprefix("1.5-").upper(), stage]
    for gpus in (1, GROUP):
        memory = gigabytes(size, run, gpus)
        cells += [_round(hours(size, run, gpus)) if memory <= CAPACITY else "does not fit", f"{memory:.0f}"]
    return f"| {' | '.join(cells)} |\n"


def _round(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _trained(shape: Shape, recipe: LlavaRecipe) -> float:
    projector = 1024 * shape.width + shape.width**2
    if recipe.train == "projector":
        return projector
    # an adapter of rank r on a matrix of m × n has r (m + n) numbers; a layer's matrices are about square
    side = math.sqrt(shape.parameters / shape.layers / 7)
    return projector + 7 * shape.layers * recipe.lora.rank * 2 * side


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201
