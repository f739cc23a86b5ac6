"""The whole world on disk: every data set that the suite reads, from one seed."""

from pathlib import Path

from pydantic import Field

from diva.atomic import new_folder
from diva.miniworld import writers
from diva.miniworld.captions import PLACE_MENTIONED, alt_texts, full_captions, mentions
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.vocabulary import NAMES
from diva.progress import phase
from diva.recipes.section import Section

PER_SHARD = 1000
HALF_KNOWN = 50.0  # percent; the alt texts in the shards are those for a tower that knows so much of each detail
DATASETS = (
    "shards",
    "mmvp_vlm",
    "zero_shot",
    "retrieval",
    "ade20k",
    "pascal_context",
    "llava",
    "mmbench",
    "mmvp_vqa",
    "pope",
    "llava_bench",
)
WRITE_KEY = 200  # streams apart from those of training and of the gates


class Counts(Section):
    """How much of each data set is written."""

    images: int = Field(default=4000, ge=1, description="training images in the shards")
    pairs: int = Field(default=100, ge=1, description="MMVP-VLM pairs of each pattern")
    zero_shot: int = Field(default=1000, ge=1, description="images to classify")
    retrieval: int = Field(default=200, ge=1, description="images with captions to retrieve")
    segmentation: int = Field(default=400, ge=1, description="training masks; a quarter as many for validation")
    conversations: int = Field(default=400, ge=1, description="LLaVA conversations of each stage")
    questions: int = Field(default=200, ge=1, description="MMBench questions")
    vqa_pairs: int = Field(default=10, ge=1, description="MMVP pairs of each pattern")
    pope: int = Field(default=60, ge=1, description="POPE pictures, with two questions each")
    open_questions: int = Field(default=24, ge=1, description="LLaVA-Bench questions")


@phase("writing the world")
def write_world(out: Path, *, seed: int, counts: Counts) -> None:
    """Write every one of `DATASETS` to a folder of its name in `out`; equal seeds give equal bytes.

    `out` appears complete or not at all.

    Raises:
        InputError: `out` exists and is not an empty folder.
        RunError: it cannot be written to.
    """
    with new_folder(out) as content:
        for name in DATASETS:
            (content / name).mkdir()
        _fill(content, seed, counts)


def _fill(out: Path, seed: int, counts: Counts) -> None:
    def scenes(number: int, count: int) -> Scenes:
        return draw(count, generator(seed, WRITE_KEY, number))

    trained = scenes(0, counts.images)
    texts = alt_texts(trained, mentions([HALF_KNOWN] * len(NAMES)), PLACE_MENTIONED, generator(seed, WRITE_KEY, 1))
    writers.write_shards(trained, texts, out / "shards", per_shard=PER_SHARD)
    writers.write_mmvp_vlm(out / "mmvp_vlm", pairs=counts.pairs, key=(seed, WRITE_KEY, 2))
    writers.write_zero_shot(scenes(3, counts.zero_shot), out / "zero_shot")
    retrieved = scenes(4, counts.retrieval)
    writers.write_retrieval(retrieved, [[caption] for caption in full_captions(retrieved)], out / "retrieval")
    segmented = scenes(5, counts.segmentation), scenes(6, max(1, counts.segmentation // 4))
    writers.write_ade20k(*segmented, out / "ade20k")
    writers.write_pascal_context(*segmented, out / "pascal_context")
    writers.write_llava(scenes(7, counts.conversations), scenes(8, counts.conversations), out / "llava")
    mmbench = out / "mmbench" / "MMBench_DEV_EN.tsv"
    writers.write_mmbench(scenes(9, counts.questions), mmbench, key=(seed, WRITE_KEY, 10))
    writers.write_mmvp_vqa(out / "mmvp_vqa", pairs=counts.vqa_pairs, key=(seed, WRITE_KEY, 11))
    writers.write_pope(scenes(12, counts.pope), out / "pope", key=(seed, WRITE_KEY, 13))
    writers.write_llava_bench(scenes(14, counts.open_questions), out / "llava_bench")
