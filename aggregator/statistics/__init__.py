"""Statistics over counts: agreement, gate, human ceiling, corrected pass rate, what-if, judge versions."""
