"""Changes the world: one file per traffic router, scale, status, record, events.

Every write is idempotent and fenced by the transition number; no decision is taken here.
"""
