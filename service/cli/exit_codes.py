"""What the exit code of a command says."""

EXIT_CODES = """
Exit codes: 0 fine or no change · 1 error · 2 changes (plan --detailed-exitcode) · 3 rolled back ·
4 host unreachable, or not compared yet · 5 the plan has changed · 64 wrong usage · 130 interrupted
"""
UNREACHABLE = 4
USAGE = 64
INTERRUPTED = 130
