"""Tests by level: pure, control plane, cluster; ``cluster/`` is the tool that boots what they need."""
