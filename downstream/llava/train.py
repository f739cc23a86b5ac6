"""`diva llava train`: one stage of LLaVA-1.5, from a LLaVA folder to a LLaVA folder."""

import os
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from rich.console import Console
from rich.text import Text
from torch import Tensor
from transformers import (
    AutoProcessor,
    BitsAndBytesConfig,
    TrainerCallback,
    TrainingArguments,
)

from diva.atomic import new_files
from diva.compat import keep_whole_what_is_there
from diva.digest import tensors_sha256
from diva.documents import read_json
from diva.errors import DivaError, Invalid, Mismatch, NotInstalled, Unsupported, first_line, from_worker
from diva.pretrained import load_pretrained
from diva.recipes.load import write_recipe
from diva.recipes.resume import check_resumed
from diva.run_folder import RunFolder, step_of
from diva_downstream.llava.data import Collator, ConversationData
from diva_downstream.llava.formats import read_llava, write_transformers
from diva_downstream.llava.formats.families import FAMILIES, Family
from diva_downstream.llava.formats.loading import load_image_processor, load_model
from diva_downstream.llava.formats.transformers_folder import assembled
from diva_downstream.llava.inputs import check_inputs, hash_inputs, write_inputs
from diva_downstream.llava.recipe import LlavaRecipe, load_llava_recipe
from diva_downstream.llava.record import StageDone, SwapRecord, read_record, write_record
from diva_downstream.llava.shown import train_shown
from diva_downstream.llava.tower import check_tower, write_tower
from diva_downstream.llava.trainable import is_adapted, load_trained, prepare, set_dtypes
from diva_downstream.llava.trainer import Curves, StageTrainer

CONFIG = "config.json"  # without it a folder is not a model
# what a resumed run may change: it alters no number beyond floating-point order
FREE_ON_RESUME = {"data.workers", "training.keep_checkpoints", "training.grad_checkpointing"}


def train(recipe: LlavaRecipe, out: Path, *, resume: bool = False) -> None:
    """Train the recipe's stage; `out` then is a LLaVA folder of transformers', with adapters merged.

    Beside the model it holds `recipe.yaml`, `metrics.jsonl` and `checkpoints/`, and the record of the swap with
    this stage. Records of the data that are not used, and damaged checkpoints, are named on the terminal.
    Processes and devices are those of `accelerate launch` or `torchrun`.

    Raises:
        InputError: the recipe names something that is missing or does not fit, or another process fills `out`.
        RunError: the run stopped: a loss that is not a number, an image that cannot be read, a full disk.
    """
    first = os.environ.get("RANK", "0") == "0"  # what one process looks at is the same for all
    run = RunFolder(out)
    with run.lock() if first else nullcontext():
        _train(recipe, run, first=first, resume=resume)


def _train(recipe: LlavaRecipe, run: RunFolder, *, first: bool, resume: bool) -> None:
    console = Console(stderr=True, quiet=not first)
    source = Path(recipe.model)
    if not (source / "processor_config.json").is_file():
        raise Mismatch("model", source, "is not a LLaVA folder of transformers'; make one with 'diva llava swap'")
    family = _family(source)
    record = read_record(source)
    if record is not None and record.needs_stage_1 and recipe.train != "projector":
        console.print(
            Text(f"{source}: has a random projector; train stage 1 first", style="yellow"), soft_wrap=True
        )
    asked = record.template if record else "chat" if family.cuts else "vicuna_v1"
    if recipe.data.template not in ("plain", asked):
        raise Mismatch(
            "data.template",
            f"{recipe.data.template} is not how {source} is asked; give {asked}, or swap it in with --template",
        )
    arguments = _arguments(recipe, run)  # from here on, processes know of each other
    latest: Path | None
    (latest,) = broadcast_object_list([_find_checkpoint(recipe, run, resume, console) if first else None])
    if latest:
        console.print(Text(f"resuming from step {step_of(latest)} ({latest})"), soft_wrap=True)
    processor = _processor(source)
    model: Any = load_model(family.model, source, **_quantized(recipe))
    data = ConversationData(recipe.data, processor, seed=recipe.seed)
    if data.left_out:
        console.print(Text(data.left_out, style="yellow"), soft_wrap=True)
    if first:
        data.check_images()
        if recipe.tower and (warning := check_tower(record)):
            console.print(Text(warning, style="yellow"), soft_wrap=True)
    inputs = hash_inputs(recipe) if first else {}
    if latest is not None:
        check_inputs(inputs, run.path)
    collator = Collator(pad=processor.tokenizer.pad_token_id, image=model.config.image_token_id, blank=data.blank)
    trainer = _trainer(recipe, arguments, model, data=data, collator=collator, run=run)
    if first and latest is None:
        write_recipe(recipe, run.recipe)
        write_inputs(inputs, run.path)
    try:
        train_shown(trainer, latest)
    except DivaError as error:
        raise from_worker(error) from error
    trained = trainer.trained_state()
    if first:
        done = _stage_done(recipe, trainer, trained, inputs)
        _write(recipe, trained, record.trained(done) if record else None, run)
        console.print(
            Text(f"trained {trainer.state.global_step} steps; the LLaVA is in {run.path}"), soft_wrap=True
        )
    trainer.accelerator.wait_for_everyone()


def _find_checkpoint(recipe: LlavaRecipe, run: RunFolder, resume: bool, console: Console) -> Path | None:
    latest, damaged = run.newest_checkpoint()
    for warning in damaged:
        console.print(Text(warning, style="yellow"), soft_wrap=True)
    begun = latest or (not resume and (run.path / CONFIG).exists())
    before = partial(load_llava_recipe, str(run.recipe)) if begun else None
    check_resumed(run.path, before, recipe, resume=resume, free=FREE_ON_RESUME)
    return latest


def _arguments(recipe: LlavaRecipe, run: RunFolder) -> TrainingArguments:
    training = recipe.training
    share = training.micro_batch * int(os.environ.get("WORLD_SIZE", "1"))
    if training.global_batch % share:
        raise Invalid(
            "training.global_batch",
            f"{training.global_batch} is not a multiple of micro_batch × processes ({share}); change one of them",
        )
    accelerated = torch.accelerator.is_available()
    try:
        return TrainingArguments(
            output_dir=str(run.checkpoint_folder),
            per_device_train_batch_size=training.micro_batch,
            gradient_accumulation_steps=training.global_batch // share,
            num_train_epochs=training.epochs or 1,
            max_steps=training.steps or -1,
            learning_rate=training.lr,
            lr_scheduler_type="cosine",
            warmup_steps=training.warmup,
            max_grad_norm=training.clip_norm,
            bf16=training.precision == "bf16",
            logging_steps=training.log_every,
            logging_nan_inf_filter=False,
            save_steps=training.checkpoint_every,
            dataloader_num_workers=recipe.data.workers,
            dataloader_pin_memory=accelerated,
            use_cpu=not accelerated,  # without it, processes on a CPU do not know of each other
            remove_unused_columns=False,
            ddp_find_unused_parameters=False,
            seed=recipe.seed,
            data_seed=recipe.seed,
            report_to="none",
            disable_tqdm=True,
        )
    except ValueError as error:
        raise Invalid("training.precision", f"{first_line(error)}; try fp32") from error


def _quantized(recipe: LlavaRecipe) -> dict[str, Any]:
    """Return how the model is loaded in 4 bits, where it is: the language model's linear layers, as in QLoRA."""
    if recipe.train != "qlora":
        return {}
    if find_spec("bitsandbytes") is None:
        raise NotInstalled("train", "qlora needs bitsandbytes, which is not installed; pip install bitsandbytes")
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise Mismatch("train", "qlora does not run sharded; start it with torchrun, or give train=lora")
    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if recipe.training.precision == "bf16" else torch.float32,
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )
    return {"quantization_config": bits}


def _family(folder: Path) -> Family:
    fields = read_json(folder / "config.json")
    kind = fields.get("model_type") if isinstance(fields, dict) else None
    if kind not in list(FAMILIES):  # of a list: the value may be anything
        names = ", ".join(each.name for each in FAMILIES.values())
        raise Unsupported("model", folder, f"holds a '{kind}'; these are trained: {names}")
    return FAMILIES[kind]


def _processor(folder: Path) -> Any:
    processor = load_pretrained(AutoProcessor, folder, field=("processor",))
    processor.image_processor = load_image_processor(folder)
    return processor


def _trainer(
    recipe: LlavaRecipe,
    arguments: TrainingArguments,
    model: Any,
    *,
    data: ConversationData,
    collator: Collator,
    run: RunFolder,
) -> StageTrainer:
    training = recipe.training
    torch.manual_seed(recipe.seed)  # of the adapters
    prepared = prepare(model, recipe)
    keep_whole_what_is_there(model)
    # FSDP shards tensors of one dtype
    sharded = arguments.fsdp or os.environ.get("ACCELERATE_USE_FSDP") == "true"
    set_dtypes(prepared, torch.bfloat16 if training.precision == "bf16" and not sharded else torch.float32)
    if training.grad_checkpointing:
        for part in (model.model.language_model, *([model.model.vision_tower] if recipe.tower else [])):
            part.gradient_checkpointing_enable({"use_reentrant": False})
    callbacks: list[TrainerCallback] = [Curves(run.metrics, recipe.name, training.global_batch)]
    return StageTrainer(
        model=prepared,
        args=arguments,
        train_dataset=data,
        data_collator=collator,
        lengths=data.lengths if training.group_by_length else None,
        rates=_rates(recipe),
        keep=training.keep_checkpoints,
        callbacks=callbacks,
    )


def _rates(recipe: LlavaRecipe) -> dict[str, float]:
    """Return the learning rates of what does not have the common one."""
    rates = {}
    if recipe.training.projector_lr:
        rates["multi_modal_projector"] = recipe.training.projector_lr
    if recipe.tower:
        rates["vision_tower"] = recipe.tower.lr
    return rates


def _write(recipe: LlavaRecipe, trained: dict[str, Tensor], record: SwapRecord | None, run: RunFolder) -> None:
    """Put what was trained into the model that the stage began with, and write that as the run's model."""
    llava = read_llava(Path(recipe.model))
    model = assembled(llava)
    prepared: Any = prepare(model, recipe)
    load_trained(prepared, trained, "the trained parameters")
    llava.state = (prepared.merge_and_unload() if is_adapted(recipe) else model).state_dict()
    if recipe.tower:
        record = write_tower(llava, record, run.tower)
    with new_files(run.path, CONFIG) as content:
        write_transformers(llava, content)
        if record is not None:
            write_record(record, content)


def _stage_done(
    recipe: LlavaRecipe, trainer: StageTrainer, trained: dict[str, Tensor], inputs: dict[str, str]
) -> StageDone:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return StageDone(
        recipe=recipe.name,
        train=recipe.train,
        tower=recipe.tower.train if recipe.tower else None,
        data=inputs[recipe.data.conversations],
        weights_sha256=tensors_sha256(trained),
        steps=trainer.state.global_step,
        loss=losses[-1] if losses else None,
    )
