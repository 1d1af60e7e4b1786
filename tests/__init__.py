"""Tests by level: pure (``api``, ``judge``, ``plan``), control plane, cluster; ``cluster/`` is the tool that boots them."""
