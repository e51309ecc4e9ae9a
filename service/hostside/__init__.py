"""The one file that runs on hosts; the controller imports it for its canonical forms."""
