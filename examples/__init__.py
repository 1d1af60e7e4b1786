"""Programs that show ModelRollout at work; nothing of the operator imports them."""
