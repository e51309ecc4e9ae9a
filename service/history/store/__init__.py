"""The one writer of the database.

Every public method of `Store` is one named transition and one transaction; it blocks, so async callers use a thread.
Errors: StoreError when the file cannot be written now (locked, full, read-only), InputError for what a
caller may not ask. Times are given by the caller, aware.

hosts.py     set_host_status  next_generation  set_base
             ask_release  end_release  latch  clear_latch  drop_latches
agreements.py agree_hosts
fleet.py     orphan_host  rename_host  forget_host
changes.py   record_revision  refuse_revision  accept_rewrite  record_plan  set_drift
applies.py   open_apply  open_rollback  set_apply_plan  start_apply  move_step  move_steps  reach  set_apply_phase
             set_probes  finish_apply
drills.py    open_drill  start_drill  finish_drill
leases.py    seen_leases
days.py      seen_pools
sightings.py keep_sighting
sites.py     seen_sites
access.py    create_token  revoke_token  authenticate  recognise  claim_key  settle_key  release_key
sessions.py  begin_session  session_of  recognise_session  end_session  close_session
             end_sessions_of
receivers.py add_receiver  remove_receiver  rotate_receiver  suspend_receiver  resume_receiver  record_delivery
suspensions.py suspend  end_suspension  end_due_suspensions
rollouts.py  open_rollout  begin_in_rollout  move_rollout  halt_rollout  resume_rollout  abort_rollout
audit.py      record_act  trim_acts
notices.py   keep_notices
retention.py forget  kept
writing.py   add_event
"""

from service.history.store.access import Claim
from service.history.store.agreements import AgreementWrites
from service.history.store.applies import ApplyWrites
from service.history.store.changes import ChangeWrites
from service.history.store.drills import DrillWrites
from service.history.store.fleet import FleetWrites
from service.history.store.hosts import HostWrites
from service.history.store.leases import LeaseWrites
from service.history.store.notices import NoticeWrites
from service.history.store.receivers import ReceiverWrites
from service.history.store.retention import RetentionWrites
from service.history.store.rollouts import RolloutWrites
from service.history.store.sessions import SessionWrites
from service.history.store.sightings import SightingWrites
from service.history.store.sites import SiteWrites
from service.history.store.suspensions import SuspensionWrites


class Store(
    HostWrites, FleetWrites, ChangeWrites, ApplyWrites, DrillWrites, LeaseWrites, SightingWrites, SiteWrites,
    SessionWrites, ReceiverWrites,
    RetentionWrites, AgreementWrites, SuspensionWrites, RolloutWrites, NoticeWrites,
):  # fmt: skip
    """Everything that can be written, from all of the files here."""


__all__ = ["Claim", "Store"]
