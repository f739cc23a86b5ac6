"""What a LLaVA is measured on, as tasks."""

from diva.results import Comparison, Result
from diva.tasks import Task

ALIKE = (
    "The settings end with what was trained after the tower was put in; zero-retrain: nothing was, so the"
    " language model has never seen through this tower. Unread: answers that no rule could read, which count as"
    " wrong (in POPE: as yes)."
)


class LlavaTask(Task):
    """Questions about images that a language model answers through the tower."""

    def compare(self, result: Result, baseline: Result) -> list[Comparison]:
        """Compare two results as `diva llava eval` does."""
        from diva_downstream.llava.evaluation.benchmarks import BENCHMARKS

        benchmark = next(
            each for each in BENCHMARKS.values() if (each.task, each.part) == (result.task, result.part)
        )
        return benchmark.compare(result, baseline)


MMBENCH = LlavaTask("mmbench", "MMBench", place=40, introduction=ALIKE)
MMVP_VQA = LlavaTask("mmvp-vqa", "MMVP (VQA)", place=41, introduction=ALIKE)
POPE = LlavaTask("pope", "POPE", place=42, introduction=ALIKE)
MME = LlavaTask("mme", "MME", place=44, introduction=ALIKE)
CV_BENCH = LlavaTask("cv-bench", "CV-Bench", place=45, introduction=ALIKE)
NATURALBENCH = LlavaTask("naturalbench", "NaturalBench", place=46, introduction=ALIKE)
MMSTAR = LlavaTask("mmstar", "MMStar", place=47, introduction=ALIKE)
REALWORLDQA = LlavaTask("realworldqa", "RealWorldQA", place=48, introduction=ALIKE)
BLINK = LlavaTask("blink", "BLINK", place=49, introduction=ALIKE)
HALLUSIONBENCH = LlavaTask("hallusionbench", "HallusionBench", place=49, introduction=ALIKE)
LLAVA_BENCH = LlavaTask("llava-bench", "LLaVA-Bench", place=43, introduction=ALIKE)
