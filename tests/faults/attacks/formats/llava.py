"""What `diva llava` reads: models in both layouts, recipes, conversations, benchmarks, reviews."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from diva.exporting.delta import state_sha256
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers.llava import write_llava
from diva.miniworld.writers.llava_bench import write_llava_bench
from diva.miniworld.writers.mmbench import write_mmbench
from diva.miniworld.writers.mmvp_vqa import write_mmvp_vqa
from diva.miniworld.writers.pope import write_pope
from diva.run_folder import RunFolder
from diva.seal import SEAL, seal
from diva_downstream.llava.conversation import read_conversations
from diva_downstream.llava.evaluation.model import read_model
from diva_downstream.llava.evaluation.reviews import Reviews, read_rules
from diva_downstream.llava.formats.loading import load_tokenizer
from diva_downstream.llava.formats.read import read_llava
from diva_downstream.llava.inputs import check_inputs, write_inputs
from diva_downstream.llava.recipe import load_llava_recipe
from diva_downstream.llava.record import SwapRecord, read_record, write_record
from diva_downstream.llava.tasks import llava_bench, mmbench, mmvp, pope
from diva_downstream.llava.trainer import WEIGHTS
from tests.faults.attacks.cell import Format
from tests.fixtures.llava import tiny_adapted_llava, tiny_llava, tiny_original_llava, tiny_vicuna

SCENES = partial(draw, 2)


def _write_conversations(folder: Path) -> None:
    write_llava(SCENES(generator(1)), SCENES(generator(2)), folder)


def _read_conversations(folder: Path) -> Any:
    return read_conversations(folder / "finetune.json")


def _write_recipe(folder: Path) -> None:
    recipe = {
        "extends": "llava-quickstart-stage1",
        "model": "swap",
        "data": {"conversations": "a.json", "images": "b"},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))


def _read_recipe(folder: Path) -> Any:
    return load_llava_recipe(str(folder / "tiny.yaml"))


def _write_record(folder: Path) -> None:
    fields = {
        "model": "vicuna",
        "model_sha256": "a" * 64,
        "tower": "t",
        "tower_architecture": "ViT",
        "tower_sha256": "b",
    }
    write_record(SwapRecord(projector="fresh", **fields), folder)


def _read_model(name: str, folder: Path) -> Any:
    found = read_llava(folder / name)
    tokens = found.tokenizer("What colour is the ball?")["input_ids"]
    configs = [each and each.to_dict() for each in (found.text, found.vision)]
    return state_sha256(found.state), configs, tokens, found.image, found.feature_layer, found.pad_to_square


def _write_original(folder: Path) -> None:
    tiny_original_llava(folder / "model")


def _write_projector(folder: Path) -> None:
    tiny_original_llava(folder / "model", projector_alone=True)


def _write_adapted(folder: Path) -> None:
    tiny_adapted_llava(folder / "model")


def _read_language(folder: Path) -> Any:
    return load_tokenizer(folder)("What colour is the ball?")["input_ids"]


def _pictures(rows: list[dict[str, Any]], open_: Any) -> Any:
    """Return rows with the pictures that they name, as an evaluation opens them."""
    return [(row | {"file": ""}, [picture.tobytes() for picture in open_(row)]) for row in rows]


def _write_pope(folder: Path) -> None:
    write_pope(SCENES(generator(3)), folder, key=(3,))


def _read_pope(folder: Path) -> Any:
    return _pictures(pope.read(folder / "coco_pope_random.json", folder / "val2014"), pope.doc_to_image)


def _write_mmbench(folder: Path) -> None:
    write_mmbench(SCENES(generator(4)), folder / "dev.tsv", key=(4,))


def _read_mmbench(folder: Path) -> Any:
    return _pictures(mmbench.read(folder / "dev.tsv", language="en", labelled=True), mmbench.doc_to_image)


def _write_mmvp(folder: Path) -> None:
    write_mmvp_vqa(folder, pairs=1, key=(5,))


def _read_mmvp(folder: Path) -> Any:
    return _pictures(mmvp.read(folder), mmvp.doc_to_image)


def _write_bench(folder: Path) -> None:
    write_llava_bench(SCENES(generator(6)), folder)
    rules = {f"llava_bench_{name}": {"role": "Assistant", "prompt": "Rate."} for name in llava_bench.CATEGORIES}
    (folder / "rule.json").write_text(json.dumps(rules))


def _read_bench(folder: Path) -> Any:
    return _pictures(llava_bench.read(folder), llava_bench.doc_to_image), read_rules(folder)


def _write_reviews(folder: Path) -> None:
    lines = [{"key": letter * 64, "content": f"8 {number}\nGood."} for number, letter in enumerate("abc")]
    (folder / "reviews.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _read_reviews(folder: Path) -> Any:
    return vars(Reviews(folder / "reviews.jsonl"))["_known"]


def _read_subject(folder: Path) -> Any:
    found = read_model(folder)
    return found.subject.architecture, found.subject.sha256, found.training, found.record


def _write_inputs(folder: Path) -> None:
    write_inputs(INPUTS, folder)


def _read_inputs(folder: Path) -> None:
    check_inputs(INPUTS, folder)


def _write_checkpoints(folder: Path) -> None:
    """Write two that hold the same, so that the older one gives an equal answer."""
    for number in (1, 2):
        checkpoint = folder / "checkpoints" / f"checkpoint-{number}"
        checkpoint.mkdir(parents=True)
        save_file({"projector": torch.arange(8.0)}, checkpoint / WEIGHTS)
        (checkpoint / "trainer_state.json").write_text('{"global_step": 1}')
        seal(checkpoint)


def _read_checkpoint(folder: Path) -> Any:
    checkpoint, _ = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None
    return load_file(checkpoint / WEIGHTS)["projector"].tolist(), (checkpoint / "trainer_state.json").read_bytes()


INPUTS = {"model": "a" * 64, "finetune.json": "b" * 64}
MODEL = (
    ("config.json", "json"),
    ("model.safetensors", "safetensors"),
    ("processor_config.json", "json"),
    ("tokenizer.json", "json"),
    ("tokenizer_config.json", "json"),
)
ORIGINAL = (
    ("config.json", "json"),
    ("pytorch_model.bin.index.json", "json"),
    ("pytorch_model-00001-of-00002.bin", "torch"),
    ("vision_tower/config.json", "json"),
    ("vision_tower/model.safetensors", "safetensors"),
)
ADAPTED = (
    ("adapter_config.json", "json"),
    ("adapter_model.safetensors", "safetensors"),
    ("non_lora_trainables.bin", "torch"),
)
BENCH = (
    ("questions.jsonl", "json lines"),
    ("context.jsonl", "json lines"),
    ("answers_gpt4.jsonl", "json lines"),
    ("rule.json", "json"),
    ("images/001.jpg", "picture"),
)
FORMATS = (
    Format("LLaVA: conversations", "json", _write_conversations, "finetune.json", _read_conversations),
    Format("LLaVA: recipe", "yaml", _write_recipe, "tiny.yaml", _read_recipe),
    Format("LLaVA: record of a swap", "json", _write_record, "diva_swap.json", read_record, optional=True),
    *(
        Format(
            f"LLaVA of transformers: {file}",
            kind,
            tiny_llava,
            file,
            partial(_read_model, ""),
            optional=file == "tokenizer_config.json",
        )
        for file, kind in MODEL
    ),
    *(
        Format(f"LLaVA's own layout: {file}", kind, _write_original, f"model/{file}", partial(_read_model, "model"))
        for file, kind in ORIGINAL
    ),
    Format(
        "LLaVA's own layout: projector alone",
        "torch",
        _write_projector,
        "model/mm_projector.bin",
        partial(_read_model, "model"),
    ),
    *(
        Format(f"LLaVA's adapters: {file}", kind, _write_adapted, f"model/{file}", partial(_read_model, "model"))
        for file, kind in ADAPTED
    ),
    Format("language model: tokenizer.model", "sentencepiece", tiny_vicuna, "tokenizer.model", _read_language),
    Format("LLaVA that is evaluated: config.json", "json", tiny_llava, "config.json", _read_subject),
    Format("LLaVA: inputs of a run", "json", _write_inputs, "inputs.json", _read_inputs),
    *(
        Format(
            f"LLaVA's checkpoint: {file}",
            kind,
            _write_checkpoints,
            f"checkpoints/checkpoint-2/{file}",
            _read_checkpoint,
            hashed=True,
        )
        for file, kind in (
            (WEIGHTS, "safetensors"),
            ("trainer_state.json", "json"),
            (SEAL, "text"),
        )
    ),
    Format("POPE: questions", "json lines", _write_pope, "coco_pope_random.json", _read_pope),
    Format("MMBench: table", "text", _write_mmbench, "dev.tsv", _read_mmbench),
    Format("MMVP: questions", "text", _write_mmvp, "Questions.csv", _read_mmvp),
    *(
        Format(f"LLaVA-Bench: {file}", kind, _write_bench, file, _read_bench, optional=file == "rule.json")
        for file, kind in BENCH
    ),
    Format("LLaVA-Bench: reviews", "json lines", _write_reviews, "reviews.jsonl", _read_reviews, optional=True),
)
