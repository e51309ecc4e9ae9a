"""From a host configured by hand to its spec: files in, the text of `hosts/NAME.yaml` and a report out. Pure.

adopt(material, connection) -> Adopted         the whole of it
Material, WATCH                                what it works on; what has to be looked at on a host
"""

from service.adopt.adopt import Adopted, ConnectionGiven, adopt
from service.adopt.material import WATCH, Material, of_observed
from service.adopt.report import Note, Report

__all__ = ["WATCH", "Adopted", "ConnectionGiven", "Material", "Note", "Report", "adopt", "of_observed"]
