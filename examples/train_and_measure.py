"""Train a tower and measure it before and after, on the miniature world: a minute or two on a CPU, no download.

python examples/train_and_measure.py runs/example
"""

import sys
from importlib.resources import files
from pathlib import Path

import diva
from diva.miniworld.write import Counts, write_world
from diva.results import write_result

UPDATES = 20  # enough to see it move, not to see it gain


def main(out: Path) -> Path:
    """Write the world, train, measure, and return the report's page."""
    base = Path(str(files("diva.miniworld"))) / "bases" / "0"
    write_world(out / "world", seed=0, counts=Counts(images=200, pairs=5))
    run = diva.train(
        "diva/quickstart",
        out / "run",
        overrides=[
            f"tower.name={base / 'clip'}",
            f"denoiser.path={base / 'teacher'}",
            f"data.source={out / 'world' / 'shards'}",
            f"stages=[{{train: [tower, projection], steps: {UPDATES}, optimizer: {{type: adamw, lr: 1.0e-4}}}}]",
        ],
        on_metrics=lambda line: print(f"update {line.step} of {UPDATES}: loss {line.curves['loss']:.4f}"),
    )
    result = diva.evaluate("mmvp-vlm", str(run.tower), out / "world" / "mmvp_vlm", against=str(base / "clip"))
    write_result(result, out / "mmvp.json")
    change = result.comparisons[0]
    print(f"pairs: {result.metrics['average'].value:.1f} %, {change.difference:+.1f} points against the base")
    return diva.report([out], out / "report")


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
