"""What stable's own history tells of noise between pods: ``calibration`` (F5, F6b, F12), and how it is worked out.

``scatter`` measures it, ``dispersion`` watches whether the candidate's pods scatter more. Pure: counts in, a
``Calibration`` out.
"""
