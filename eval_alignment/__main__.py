"""`python -m eval_alignment` is the command, for the processes that `up` starts."""

from eval_alignment.main import main

main()
