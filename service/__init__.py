"""passerelle: GitOps for the networks of hypervisors and their guests."""

__version__ = "0.1.0"
