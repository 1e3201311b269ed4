"""Made people: bodies that move as recorded, filmed by virtual cameras and seen by a real detector.

What a lifter has to learn is what a detector does to the truth, and that only a detector shows. Here
CC0 bodies are posed by motion capture (``posing.py``), dressed (``wardrobe.py``), put into rooms and
yards (``places.py``), drawn (``pictures.py``) and looked at by BlazePose (``tracks.py``). The outcome
is a file of detector tracks with exact truth, in the layout that training reads.
"""
