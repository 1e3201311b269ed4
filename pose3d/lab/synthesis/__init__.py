"""Synthetic people: bodies that move as recorded, filmed by virtual cameras and seen by a real detector.

What a lifter has to learn is what a detector does to the truth, and that only a detector shows. CC0
bodies (``bodies``) move by motion capture (``recordings``, ``posing``), dressed (``wardrobe``), in rooms
and yards (``places``), before cameras (``views``); they are drawn (``pictures``) and looked at by
BlazePose (``tracks``). ``film`` writes a file of detector tracks with exact truth.
"""
