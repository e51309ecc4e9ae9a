"""Hosts that are values: what they "send" is the value itself, so that it can be kept and read again."""

import hashlib
import pickle
from dataclasses import replace

from service.model.observed import HostObserved, Watch
from service.model.sightings import Sighting
from tests.reconcile.clocks import START


def digested(observed: HostObserved) -> HostObserved:
    """With a digest of all that was seen but the time, as a collector gives one for each section."""
    plain = pickle.dumps(replace(observed, observed_at=START, digests={}))
    return replace(observed, digests={"all": hashlib.sha256(plain).hexdigest()})


def sighting_of(observed: HostObserved, watch: Watch = Watch()) -> Sighting:  # noqa: B008 (frozen)
    """What the host "sent"."""
    return Sighting(observed.host, observed.observed_at, "a value", "", watch, pickle.dumps(observed))


def seen_in(sighting: Sighting) -> HostObserved:
    """What was seen then."""
    found: HostObserved = pickle.loads(sighting.answer)
    return found
