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
    sendmail_group = "opensmtpq"
    # Debian 12 builds 6.8 with OpenSSL 3, which it cannot use for its private keys: it offers
    # STARTTLS and every handshake fails (OpenSMTPD issue 1239). As a client it does TLS well.
    tls_server_works = False

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
        for name, group, mode in (("queue", 0, 0o700), ("corrupt", 0, 0o700),
                                  ("incoming", 0, 0o700), ("temporary", 0, 0o700),
                                  ("purge", 0, 0o700), ("offline", USERS["opensmtpq"], 0o770)):
            place = self.own(f"spool/{name}", "root", mode)
            os.chown(place, 0 if name == "offline" else USERS["opensmtpq"], group)

    def binds(self):
        return [("conf", "/etc/opensmtpd"), ("empty", "/var/lib/opensmtpd/empty"),
                ("spool", "/var/spool/smtpd"), ("run", "/run")]

    def command(self):
        return ["/usr/sbin/smtpd", "-d", "-f", "/etc/opensmtpd/smtpd.conf"]
