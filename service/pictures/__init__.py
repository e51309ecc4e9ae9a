"""Pictures that the service draws itself, as SVG: hosts with what is on them, and values over time. Pure."""
