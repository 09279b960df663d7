"""The simulator: one seed is one world, one flight and the troubles that befall it, flown by the product's own pilot and guardian.

story.py       what a seed draws: a world, a lead, troubles
process.py     processes in one event loop, killed or frozen between any two of their steps
disk.py        the run folder's disk and the wall clock, which fail when told to
troubles.py    what befalls the world, and for how long: the only source of excuses
scene.py       one run, from the guardian's start to the judgement
lead.py        the person with the keys
oracles.py     what must hold afterwards, whatever happened

python -m tests.simulate --seed 4711         replays one seed and prints its timeline
make simulate SEEDS=10000                    flies many, on every core
"""
