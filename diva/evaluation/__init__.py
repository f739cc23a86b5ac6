"""What a benchmark is made of: tests and intervals, what a difference is called, and how figures become a page."""
