"""Synthetic people: CC0 bodies that move as recorded, filmed by virtual cameras, seen by BlazePose.

Bodies (``bodies``) move by motion capture (``recordings``, ``posing``), dressed (``wardrobe``), in
rooms and yards (``places``), before cameras (``views``); they are drawn (``pictures``) and looked
at (``tracks``). ``film`` writes a file of detector tracks with exact truth.
"""
