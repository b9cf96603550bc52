"""Decide what the node's engine is to do, and what is to be said of what it did.

The picture (what was ordered) and the engine's containers (what is) are compared, and each
difference is either an effect or a fact. Laws:

- Nothing is stopped because something is missing: a container is stopped when it was retired,
  when its end stands in the log, or when a greater attempt of its slot was assigned here.
- While the engine is away nothing is concluded from what it does not say.
- A node that was declared lost says nothing but that it joins again, until that is in the log.
"""

LIST_EVERY_S = 10.0
TRY_AGAIN_AFTER_S = 1.0
