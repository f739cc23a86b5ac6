"""Zero-shot classification and retrieval on the 29 published sets: did training cost what CLIP could do before?"""
