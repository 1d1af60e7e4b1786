"""What a person types: ``python -m controller …`` and the kubectl plugin.

Reads files and the cluster through the other rooms; decides nothing of its own.
"""
