"""The tasks as lm-eval's own command line runs them."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from diva_downstream.llava.evaluation.ask import TASKS
from diva_downstream.llava.evaluation.benchmarks import BENCHMARKS

ROOT = Path(__file__).parents[4]


def test_plain_lm_eval_runs_a_task_without_this_suite_s_command_line(
    says_a: Path, world: Path, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "hf-multimodal"),
        *("--model_args", f"pretrained={says_a},dtype=float32", "--device", "cpu", "--batch_size", "16"),
        *("--include_path", str(TASKS), "--tasks", "mmbench_en_dev,pope_random", "--apply_chat_template"),
        *("--metadata", json.dumps({"data": str(world), "first": 4})),
        *("--output_path", str(tmp_path / "out"), "--log_samples"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text())["results"]
    mmbench, pope = results["mmbench_en_dev"], results["pope_random"]
    # whoever always says A is never right in every rotation, and is read every time
    assert (mmbench["circular,none"], mmbench["unread,none"]) == (0, 0)
    # "A" says neither yes nor no, which counts as yes; two questions of four ask for what is there
    assert pope["accuracy,none"] == 0.5
    assert (pope["yes_share,none"], pope["unread,none"], pope["recall,none"]) == (1, 1, 1)
    samples = next((tmp_path / "out").rglob("samples_mmbench_en_dev_*.jsonl")).read_text().splitlines()
    rows = [json.loads(line) for line in samples]
    right = [row["target"] == "A" for row in rows if row["doc"]["index"] < 1_000_000]
    assert mmbench["single_pass,none"] == sum(right) / len(right)
    assert {row["filtered_resps"][0] for row in rows} == {"A"}
    # pictures are told apart by a hash; neither they nor the TSV's base64 are written out
    assert all(len(line) < 3000 for line in samples)
    prompt = rows[0]["arguments"]["gen_args_0"]["arg_0"]
    assert "USER: <image>\n" in prompt
    assert prompt.endswith("Answer with the option's letter from the given choices directly. ASSISTANT:")


def test_every_benchmark_has_its_task_and_decodes_greedily() -> None:
    written = {path.stem for path in TASKS.glob("*.yaml")}
    assert written == {benchmark.lm_eval_task for benchmark in BENCHMARKS.values()}
    for template in (*TASKS.glob("_*_yaml"), TASKS / "mmvp_vqa.yaml", TASKS / "llava_bench_wild.yaml"):
        text = template.read_text().replace("!function ", "")
        settings = yaml.safe_load(text).get("generation_kwargs")
        assert settings is None or (settings["do_sample"], settings["temperature"]) == (False, 0)
