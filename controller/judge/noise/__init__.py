"""What stable's own history tells before an epoch begins. Pure: counts in, a ``Calibration`` or a ``LabelLag`` out.

``calibration`` (F5, F6b, F12) says how much noise there is between pods; ``scatter`` measures it, ``dispersion``
watches whether the candidate's pods scatter more. ``label_lag`` says how late labels come after their requests.
"""
