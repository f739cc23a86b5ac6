"""LLaVA on another tower."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Checkpoint, Device, Overrides, check_exists, check_towers, libraries

LanguageModel = Annotated[
    Path | None, typer.Option(help="language model, if the folder holds only a projector or adapters")
]

app = typer.Typer(no_args_is_help=True, help="LLaVA with another tower: swap it in, retrain, measure.")


@app.command("swap")
def swap(
    model: Annotated[
        Path, typer.Argument(help="LLaVA-1.5 folder (transformers' or the original format), or a language model's")
    ],
    tower: Annotated[str, typer.Option(help="zoo name, open_clip architecture or folder, or any tower file")],
    out: Annotated[Path, typer.Option(help="folder of the LLaVA to write, in transformers' format")],
    checkpoint: Checkpoint = None,
    language_model: LanguageModel = None,
    fresh_projector: Annotated[
        bool, typer.Option("--fresh-projector", help="start the projector anew: a tower of another shape needs it")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(help="vicuna_v1, LLaVA-1.5's, or chat, the language model's own; default: vicuna_v1"),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of a fresh projector")] = 0,
) -> None:
    """Put another tower into a LLaVA."""
    check_exists(model, "MODEL")
    check_towers(tower, checkpoint=checkpoint)
    check_exists(language_model, "--language-model")
    with libraries():
        from diva_downstream.llava.swap import swap as run

    run(
        model,
        tower,
        out,
        checkpoint=checkpoint,
        language_model=language_model,
        fresh_projector=fresh_projector,
        template=template,
        seed=seed,
    )


@app.command("train")
def train(
    recipe: Annotated[str, typer.Argument(help="packaged recipe such as llava-1.5-7b-stage1, or a YAML file")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="folder of the LLaVA to write; default: runs/NAME")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the newest complete checkpoint")] = False,
) -> None:
    """Train one stage of LLaVA-1.5: the projector, or projector and language model."""
    from diva_downstream.llava.recipe import load_llava_recipe

    resolved = load_llava_recipe(recipe, overrides or ())
    with libraries():
        from diva_downstream.llava.train import train as run

    run(resolved, out or Path("runs") / resolved.name, resume=resume)


@app.command("convert")
def convert(
    model: Annotated[Path, typer.Argument(help="LLaVA-1.5 folder in either format")],
    to: Annotated[str, typer.Option(help="transformers or original")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    language_model: LanguageModel = None,
) -> None:
    """Write a LLaVA in the other format, with the same tower and weights."""
    check_exists(model, "MODEL")
    check_exists(language_model, "--language-model")
    with libraries():
        from diva_downstream.llava.convert import convert as run

    run(model, out, to=to, language_model=language_model)


@app.command("miniature")
def miniature(
    conversations: Annotated[
        list[Path], typer.Argument(help="LLaVA conversation files to learn the language from")
    ],
    out: Annotated[Path, typer.Option(help="folder of the language model")],
    seed: Annotated[int, typer.Option(help="seed of its random weights")] = 0,
) -> None:
    """Train a tiny language model on a CPU, to try the pipeline without Vicuna."""
    for place in conversations:
        check_exists(place, "CONVERSATIONS")
    with libraries():
        from diva_downstream.llava.miniature import write_miniature

    write_miniature(conversations, out, seed=seed)


@app.command("eval")
def evaluate(
    model: Annotated[
        Path, typer.Argument(help="LLaVA folder in transformers' format, as diva llava swap writes it")
    ],
    data: Annotated[Path, typer.Option(help="folder with one subfolder per benchmark")],
    out: Annotated[Path, typer.Option(help="folder for the result files and the answers")],
    against: Annotated[Path | None, typer.Option(help="baseline LLaVA folder, asked the same questions")] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option(
            help="comma-separated names; default: mmbench-en-dev, mmvp-vqa, pope-random, pope-popular,"
            " pope-adversarial, llava-bench-wild"
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="ask only this many questions (or pairs) of each benchmark, as a trial")
    ] = None,
    batch: Annotated[int, typer.Option(help="questions per batch")] = 16,
    device: Device = "auto",
    judge_url: Annotated[
        str | None,
        typer.Option(help="chat-completions endpoint that reviews open answers; OPENAI_API_KEY is its key"),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="name of the judge model at that endpoint")] = None,
    backend: Annotated[str, typer.Option(help="what answers: transformers or vllm")] = "transformers",
    served_url: Annotated[
        str | None,
        typer.Option(help="chat-completions endpoint that answers for MODEL; SERVED_API_KEY is its key"),
    ] = None,
    served_model: Annotated[str | None, typer.Option(help="name of MODEL at that endpoint")] = None,
) -> None:
    """Measure a LLaVA on MMBench, MMVP, POPE, LLaVA-Bench, MME and others."""
    for place, where in ((model, "MODEL"), (data, "--data"), (against, "--against")):
        check_exists(place, where)
    with libraries():
        from diva_downstream.llava.evaluation.command import run

    run(
        model,
        data=data,
        out=out,
        baseline=against,
        benchmarks=benchmarks.split(",") if benchmarks else (),
        first=limit,
        batch=batch,
        device=device,
        judge_url=judge_url,
        judge_model=judge_model,
        backend=backend,
        served_url=served_url,
        served_model=served_model,
    )
