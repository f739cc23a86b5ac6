"""Measuring a LLaVA: lm-eval asks, the tasks' rules read the answers, and result files hold what came out."""
