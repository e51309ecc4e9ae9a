"""What people see in a browser: the pages' HTML by `reader.py`, and the pages in Chromium."""
