"""`doctor`: what is wrong with a running installation, worst first, and what to do.

Each module observes one part of an installation (facts, by reading only) and judges what was seen (findings, pure).
"""
