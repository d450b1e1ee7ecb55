"""Postfix (Debian 12: 3.7)."""
import os

from .base import USERS, Peer

QUEUES = {"active": "postfix", "bounce": "postfix", "corrupt": "postfix", "defer": "postfix",
          "deferred": "postfix", "flush": "postfix", "hold": "postfix", "incoming": "postfix",
          "private": "postfix", "saved": "postfix", "trace": "postfix"}

# An administrator who wants throughput; used by bench/relay, so that the race is a fair one.
TUNED = {
    "default_destination_concurrency_limit": "100",
    "initial_destination_concurrency": "50",
    "default_process_limit": "200",
    "in_flow_delay": "0",
    "qmgr_message_active_limit": "40000",
    "smtp_connection_cache_on_demand": "yes",
}

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Peer):
    name = "postfix"

    def main_cf(self):
        d = self.dir
        cf = {
            "compatibility_level": "3.6",
            "queue_directory": f"{d}/queue",
            "data_directory": f"{d}/data",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "command_directory": "/usr/sbin",
            "meta_directory": "/etc/postfix",
            "shlib_directory": "/usr/lib/postfix",
            "sendmail_path": "/usr/sbin/sendmail",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": str(self.logfile),
            "maillog_file_prefixes": str(d),
            "import_environment": "MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH",
            "export_environment": "TZ LANG=C LD_LIBRARY_PATH",
            "myhostname": "postfix.peer.example",
            "mydestination": "",
            "alias_maps": "",
            "local_recipient_maps": "",
            "local_transport": "error:no local mail here",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "disable_dns_lookups": "yes",
            "smtputf8_enable": "yes",
            "message_size_limit": "209715200",
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "minimal_backoff_time": "2s",
            "queue_run_delay": "2s",
        }
        if self.relay:
            cf["relayhost"] = "[%s]:%d" % self.relay
        else:
            cf |= {"virtual_mailbox_domains": "static:all",
                   "virtual_mailbox_maps": "static:Maildir/",
                   "virtual_mailbox_base": str(d),
                   "virtual_uid_maps": f"static:{USERS['vmail']}",
                   "virtual_gid_maps": f"static:{USERS['vmail']}"}
        if self.tls:
            cf |= {"smtpd_tls_security_level": "may", "smtp_tls_security_level": "may",
                   "smtpd_tls_cert_file": f"{d}/conf/tls.crt",
                   "smtpd_tls_key_file": f"{d}/conf/tls.key",
                   "smtpd_tls_loglevel": "1", "smtp_tls_loglevel": "1"}
        else:
            cf |= {"smtpd_tls_security_level": "none", "smtp_tls_security_level": "none"}
        return cf | self.settings

    def configure(self):
        lines = [f"{k} = {v}" for k, v in self.main_cf().items()]
        main = self.dir / "conf" / "main.cf"
        main.write_text("\n".join(lines) + "\n")
        os.utime(main, (1, 1))          # it waits until a file it reads is two seconds old
        (self.dir / "conf" / "master.cf").write_text(MASTER.format(port=self.port))
        self.own("data", "postfix")
        queue = self.own("queue", "root", 0o755)
        (queue / "pid").mkdir(exist_ok=True)
        for name, user in QUEUES.items():
            self.own(f"queue/{name}", user)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            place = self.own(f"queue/{name}", "postfix", mode)
            os.chown(place, USERS["postfix"], USERS["postdrop"])
            os.chmod(place, mode)

    def binds(self):
        return [("conf", "/etc/postfix")]

    def command(self):
        # The daemon directly: `postfix start-fg` checks an installation, and this is none.
        return ["/usr/lib/postfix/sbin/master", "-c", "/etc/postfix", "-d"]
