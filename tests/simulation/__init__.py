"""A simulation of whole installations: the real shard, restore, checkpoint, engine, watchdog and tail on a broker in
memory, with virtual time and seeded faults. `python -m tests.simulation SEED` repeats one history, with its trace.
"""
