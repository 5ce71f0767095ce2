"""
How fast it is, against the floor and against what people would use instead.

.. code-block:: console

   $ make bench           # everything, some minutes: a table, a page, JSON
   $ make bench-quick     # the same in less than a minute, less exact
   $ python -m benchmarks --only memory,redis --rounds 15 --json -

One module of :mod:`benchmarks.groups` is one group of rows.  Every round runs every
candidate of a row once, in shuffled order, so that whatever else the machine does
hits all of them.  What is told is the median over the rounds, and the median of the
ratios to the floor within each round; beside it the lowest and the highest.
"""
