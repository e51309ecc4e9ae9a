"""The closed set of resource types: of what a host is made."""

from service.resources.addresses import Addresses
from service.resources.answering import AnsweredBy
from service.resources.bans import Jails
from service.resources.bonds import BondLink
from service.resources.cards import NamedCard
from service.resources.containers import Container
from service.resources.dnsmasq_config import DnsmasqConfig
from service.resources.files import FileMode, OwnFile
from service.resources.firewall import BridgeTable, ClosedTable, FirewallTable
from service.resources.forwards import ForwardsTable
from service.resources.guest_folders import GuestFolder
from service.resources.guest_names import GuestNames
from service.resources.guest_packages import GuestPackages
from service.resources.links import Link
from service.resources.nat import SourceNat
from service.resources.packages import Package
from service.resources.proxies import Proxy
from service.resources.pve_firewall import PveFirewallFile
from service.resources.resource import Resource
from service.resources.routes import DefaultRoutes
from service.resources.secret_files import SecretFile
from service.resources.stanzas import InterfaceStanza
from service.resources.sysctls import SettingsFile, Sysctl
from service.resources.units import Unit

TYPES: tuple[type[Resource], ...] = (
    NamedCard,
    Link,
    BondLink,
    InterfaceStanza,
    Addresses,
    DefaultRoutes,
    Sysctl,
    SettingsFile,
    SourceNat,
    FirewallTable,
    ClosedTable,
    BridgeTable,
    ForwardsTable,
    PveFirewallFile,
    DnsmasqConfig,
    GuestNames,
    AnsweredBy,
    Jails,
    OwnFile,
    SecretFile,
    GuestFolder,
    FileMode,
    Package,
    Container,
    Unit,
    GuestPackages,
    Proxy,
)
