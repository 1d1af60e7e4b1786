"""Small servers written from the published specifications, each with the deviations of real servers as parameters.

They are no real model servers: what those really do is tested in ``tests/verify/servers``. All serve one model, which
adds up the numbers of each row.
"""
