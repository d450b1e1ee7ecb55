"""Other people's mail servers, unpacked under build/peers and run there, never installed.

    peer = peers.make("postfix", dir, port, relay=("127.0.0.1", 2600))
    with peer: ...

fetch.py brings the packages, jail.py gives each server a file system of its own (Debian's mail
servers conflict with one another and want users that must not be created here), the other files
know one server each.
"""
from .exim import Exim
from .opensmtpd import OpenSMTPD
from .postfix import Postfix

KINDS = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSMTPD}


def make(name, directory, port, **options):
    """A peer that is not started yet; options as in base.Peer."""
    return KINDS[name](directory, port, **options)
