"""The kinds of metric: what one window of each says, what is tested about it, and its evidence processes.

A kind is a pair of modules where its window needs arithmetic of its own: ``ratio`` (F1) and ``ratio_process``, ``rate``
(F2), ``mean`` (F3), ``paired`` (F10). ``histogram`` and ``distribution`` (F4) compare ``shares`` of ``buckets``;
``group_process`` looks at a ratio a few times only (F11, ``boundaries``, ``score``); ``query`` has no statistics.
``interval`` is the confidence interval of ratios (F9). Each offers what ``judge._process`` asks for, and nothing in
here knows of other metrics, of α over several of them, or of a rollout.
"""
