"""Imported last by the server that test processes are forked from.

What it has imported is put out of the collector's sight: a collection in a child would touch, and so copy, all of it,
which costs more than all else that a child does.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
