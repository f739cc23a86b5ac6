"""The world in the formats of the real data sets, so that everything downstream runs its real loading code.

Files are the same to the byte for the same scenes. Each writer fills a folder that the caller made.
"""

from diva.miniworld.writers.clip_benchmark import write_retrieval, write_zero_shot
from diva.miniworld.writers.llava import write_llava
from diva.miniworld.writers.llava_bench import write_llava_bench
from diva.miniworld.writers.mmbench import write_mmbench
from diva.miniworld.writers.mmvp_vlm import write_mmvp_vlm
from diva.miniworld.writers.mmvp_vqa import write_mmvp_vqa
from diva.miniworld.writers.pairs import write_pairs
from diva.miniworld.writers.pope import write_pope
from diva.miniworld.writers.segmentation import write_ade20k, write_pascal_context
from diva.miniworld.writers.shards import write_shards

__all__ = [
    "write_ade20k",
    "write_llava",
    "write_llava_bench",
    "write_mmbench",
    "write_mmvp_vlm",
    "write_mmvp_vqa",
    "write_pairs",
    "write_pascal_context",
    "write_pope",
    "write_retrieval",
    "write_shards",
    "write_zero_shot",
]
