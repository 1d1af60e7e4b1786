"""Whether the arms can be compared at all, and where the candidate is worse in a part only.

``validity`` holds the checks together, ``split`` is the one of the arms' shares (F7), ``slices`` are judged by
``discovery`` (e-BH). Nothing in here speaks for or against the candidate as a whole.
"""
