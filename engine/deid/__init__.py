"""
De-identification: reviewed catalogue, profiles, free text, leak check. Pure: no I/O at run time.

``catalogue`` says what every field is, a profile says what becomes of each kind,
``plan`` compiles both into one function per field, ``leak_check`` proves the result.
"""
