"""lm-eval tasks of the benchmarks, as YAML with their Python beside them.

`lm_eval run --include_path downstream/llava/tasks --metadata data=FOLDER` reads them as they are; `diva llava eval`
runs the same tasks. What is read off an answer, and which answer is right, stands here and nowhere else.
"""
