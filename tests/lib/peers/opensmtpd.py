"""OpenSMTPD (Debian 12: 6.8)."""
import os

from .base import USERS, Peer

CONF = """\
{pki}
queue ttl 1h
smtp max-message-size 200M
listen on 127.0.0.1 port {port} hostname opensmtpd.peer.example {tls}
listen on socket
{settings}
{action}
match from any for any action "all"
match from local for any action "all"
"""


class OpenSMTPD(Peer):
    name = "opensmtpd"

    def configure(self):
        pki = tls = ""
        if self.tls:
            pki = ('pki peer cert "/etc/opensmtpd/tls.crt"\n'
                   'pki peer key "/etc/opensmtpd/tls.key"')
            tls = "tls pki peer"
        if self.relay:
            scheme = "smtp" if self.tls else "smtp+notls"
            action = 'action "all" relay host "%s://%s:%d"' % (scheme, *self.relay)
        else:
            action = f'action "all" maildir "{self.dir}/Maildir" virtual {{ "@" = vmail }}'
        text = CONF.format(port=self.port, pki=pki, tls=tls, action=action,
                           settings=self.settings or "")
        (self.dir / "conf" / "smtpd.conf").write_text(text)
        self.own("empty", "root", 0o755)
        self.own("run", "root", 0o755)
        self.own("spool", "root", 0o711)
        for name in ("queue", "corrupt", "incoming", "temporary"):
            self.own(f"spool/{name}", "opensmtpq")
        self.own("spool/purge", "opensmtpq")
        offline = self.own("spool/offline", "root", 0o770)
        os.chown(offline, 0, USERS["opensmtpq"])

    def binds(self):
        return [("conf", "/etc/opensmtpd"), ("empty", "/var/lib/opensmtpd/empty"),
                ("spool", "/var/spool/smtpd"), ("run", "/run")]

    def command(self):
        return ["/usr/sbin/smtpd", "-d", "-f", "/etc/opensmtpd/smtpd.conf"]
