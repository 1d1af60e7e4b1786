"""Property tests draw the same examples on every run and on a slow machine too."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
