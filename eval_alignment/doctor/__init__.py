"""`doctor`: examines a running installation and reports problems, worst first, with what to do.

Each module observes one part of an installation, reading only, and derives findings from the observation (`judge_...`,
pure functions).
"""
