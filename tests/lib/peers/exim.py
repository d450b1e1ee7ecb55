"""Exim (Debian 12: 4.96, the light build)."""
import os

from .base import Peer

CONF = """\
primary_hostname = exim.peer.example
exim_path = /usr/sbin/exim4
spool_directory = {dir}/spool
log_file_path = {dir}/log/%s.log
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = {tls_hosts}
{tls}
never_users =
keep_environment = LD_LIBRARY_PATH
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_reserve = 0
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
message_size_limit = 200M
log_selector = +smtp_confirmation
acl_smtp_rcpt = accept_all
acl_smtp_data = accept_all
{settings}
begin acl
accept_all:
  accept

begin routers
{router}

begin transports
out:
  driver = smtp
  hosts_try_dane =
  hosts_try_fastopen =
  allow_localhost = true
  hosts_avoid_tls = {avoid_tls}
sink:
  driver = appendfile
  directory = {dir}/Maildir
  maildir_format = true
  user = vmail
  group = vmail

begin retry
* * F,1h,2s
"""

RELAY = """\
all:
  driver = manualroute
  domains = *
  route_list = * {0}::{1}
  self = send
  transport = out"""

SINK = """\
all:
  driver = accept
  transport = sink"""


class Exim(Peer):
    name = "exim"

    def configure(self):
        tls = ""
        if self.tls:
            tls = "tls_certificate = /etc/exim4/tls.crt\ntls_privatekey = /etc/exim4/tls.key"
            os.chown(self.dir / "conf" / "tls.key", *self.uid())
        router = RELAY.format(*self.relay) if self.relay else SINK
        text = CONF.format(dir=self.dir, port=self.port, tls=tls, router=router,
                           tls_hosts="*" if tls else "", avoid_tls="" if tls else "*",
                           settings=self.settings or "")
        (self.dir / "conf" / "exim4.conf").write_text(text)
        self.own("spool", "Debian-exim", 0o750)
        self.own("log", "Debian-exim", 0o750)

    def uid(self):
        from .base import USERS
        return USERS["Debian-exim"], USERS["Debian-exim"]

    def binds(self):
        return [("conf", "/etc/exim4")]

    def command(self):
        return ["/usr/sbin/exim4", "-bdf", "-q2s"]
