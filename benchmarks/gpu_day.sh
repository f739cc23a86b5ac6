#!/usr/bin/env bash
# All that waits for a GPU, in about 12 minutes: the tests, then the throughput tables. Each part has a limit of its own and
# writes as it goes, so it may be stopped at any moment. Results: benchmarks/results/GPU, GPU being the card's name.
set -u
cd "$(dirname "$0")/.."
card=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr ' ' '-')
[ -n "$card" ] || { echo "no GPU can be used here"; exit 1; }
out=benchmarks/results/$card
mkdir -p "$out"
nvidia-smi > "$out/nvidia-smi.txt"
timeout 240 .venv/bin/pytest -m gpu tests/gpu 2>&1 | tee "$out/tests.txt"
for options in plain compiled cached cached+compiled; do
  timeout 110 .venv/bin/diva bench throughput diva/openai-vit-l14-224 --random-weights --shards 16 \
    --baseline --options "$options" --batch 16 --updates 5 --out "$out" 2>&1 | tee "$out/$options.txt"
done
